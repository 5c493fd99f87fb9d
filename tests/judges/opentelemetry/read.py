"""Reads a folder of telemetry as any reader of OTLP/JSON would, with the official messages.

    read.py FOLDER                 prints one JSON summary
    read.py FOLDER --items         prints every span, point and log record in plain form, by file
    read.py FOLDER --messages      prints [file, hex of the protobuf] of every line

Exits with 1 on a line that is not one OTLP/JSON request, and on a file under the wrong name. A `.log` file of the
application's own output (CRI lines: time, stream, tag, text) is counted, not parsed.

The rules are those of the OTLP specification, "JSON Protobuf Encoding": proto3 JSON, but trace and span ids are hex, enums
are numbers, keys are lowerCamelCase; 64-bit numbers are decimal strings.
"""

import argparse
import base64
import json
import pathlib
import re
import sys

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor as Field
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

ENDINGS = {
    ".traces": ("traces", trace_service_pb2.ExportTraceServiceRequest),
    ".metrics": ("metrics", metrics_service_pb2.ExportMetricsServiceRequest),
    ".log": ("logs", logs_service_pb2.ExportLogsServiceRequest),
}
HEX_IDS = {"trace_id": 32, "span_id": 16, "parent_span_id": 16}
LONG = {Field.CPPTYPE_INT64, Field.CPPTYPE_UINT64}
CRI = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d) (stdout|stderr) [FP]( .*)?")
# What the semantic conventions call a resource without a name.
NAMELESS = "unknown_service"


class Unreadable(Exception):
    pass


def pairs_once(pairs):
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Unreadable("a key twice in one object")
    return made


def no_constant(name):
    raise Unreadable(f"{name} is not JSON")


def to_proto3_json(value, descriptor):
    """Checks what OTLP/JSON demands beyond proto3 JSON, and undoes where it differs."""
    if not isinstance(value, dict):
        raise Unreadable(f"{descriptor.name} is no object")
    fields = {field.json_name: field for field in descriptor.fields}
    made = {}
    for key, part in value.items():
        field = fields.get(key)
        if field is None:
            raise Unreadable(f"{descriptor.name} has no {key!r}")
        if part is None:
            continue
        if field.is_repeated != isinstance(part, list):
            raise Unreadable(f"{descriptor.name}.{key} is {part!r}")
        made[key] = [one(item, field) for item in part] if field.is_repeated else one(part, field)
    return made


def one(value, field):
    if field.cpp_type == Field.CPPTYPE_MESSAGE:
        return to_proto3_json(value, field.message_type)
    if field.type == Field.TYPE_BYTES and field.name in HEX_IDS:
        if not isinstance(value, str) or not re.fullmatch(r"([0-9a-fA-F]{2})*", value):
            raise Unreadable(f"{field.full_name} is not hex: {value!r}")
        if len(value) not in (0, HEX_IDS[field.name]):
            raise Unreadable(f"{field.full_name} has a wrong length: {value!r}")
        return base64.b64encode(bytes.fromhex(value)).decode()
    if field.cpp_type == Field.CPPTYPE_ENUM and type(value) is not int:
        raise Unreadable(f"{field.full_name} is not a number: {value!r}")
    if field.cpp_type in LONG and not isinstance(value, str):
        raise Unreadable(f"{field.full_name} is not a decimal string: {value!r}")
    return value


def parse_line(line, kind):
    value = json.loads(line, object_pairs_hook=pairs_once, parse_constant=no_constant)
    return json_format.ParseDict(to_proto3_json(value, kind.DESCRIPTOR), kind(), ignore_unknown_fields=False)


# The plain form, for comparison with what was sent.


def value_of(value):
    kind = value.WhichOneof("value")
    if kind is None:
        return {}
    part = getattr(value, kind)
    return {
        "string_value": lambda: {"string": part},
        "bool_value": lambda: {"bool": part},
        "int_value": lambda: {"int": str(part)},
        "double_value": lambda: {"double": repr(part)},
        "bytes_value": lambda: {"bytes": part.hex()},
        "array_value": lambda: {"array": [value_of(item) for item in part.values]},
        "kvlist_value": lambda: {"map": attributes_of(part.values)},
    }[kind]()


def attributes_of(attributes):
    made = {attribute.key: value_of(attribute.value) for attribute in attributes}
    if len(made) != len(attributes):
        raise Unreadable("an attribute twice")
    return made


def origin(resource, scope, part):
    return {
        "resource": attributes_of(resource.attributes),
        "scope": [scope.name, scope.version],
        "scope_attributes": attributes_of(scope.attributes),
        "schema_url": part.schema_url,
    }


def spans_of(request):
    for resource in request.resource_spans:
        for part in resource.scope_spans:
            for span in part.spans:
                yield {
                    **origin(resource.resource, part.scope, part),
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent_span_id": span.parent_span_id.hex(),
                    "name": span.name,
                    "kind": span.kind,
                    "start": str(span.start_time_unix_nano),
                    "end": str(span.end_time_unix_nano),
                    "attributes": attributes_of(span.attributes),
                    "events": [
                        [event.name, str(event.time_unix_nano), attributes_of(event.attributes)]
                        for event in span.events
                    ],
                    "links": [
                        [link.trace_id.hex(), link.span_id.hex(), attributes_of(link.attributes)]
                        for link in span.links
                    ],
                    "status": [span.status.code, span.status.message],
                }


def point_of(point):
    plain = {
        "attributes": attributes_of(point.attributes),
        "start": str(point.start_time_unix_nano),
        "time": str(point.time_unix_nano),
    }
    kind = point.DESCRIPTOR.name
    if kind == "NumberDataPoint":
        which = point.WhichOneof("value")
        if which is None:
            return plain | {"value": {}}
        value = getattr(point, which)
        return plain | {"value": {"int": str(value)} if which == "as_int" else {"double": repr(value)}}
    plain |= {"count": str(point.count), "sum": repr(point.sum)}
    if kind == "SummaryDataPoint":
        return plain | {"quantiles": [[repr(at.quantile), repr(at.value)] for at in point.quantile_values]}
    plain |= {"min": repr(point.min), "max": repr(point.max)}
    if kind == "HistogramDataPoint":
        return plain | {
            "bounds": [repr(bound) for bound in point.explicit_bounds],
            "buckets": [str(count) for count in point.bucket_counts],
        }
    return plain | {
        "scale": point.scale,
        "zero_count": str(point.zero_count),
        "positive": [point.positive.offset, [str(count) for count in point.positive.bucket_counts]],
        "negative": [point.negative.offset, [str(count) for count in point.negative.bucket_counts]],
    }


def points_of(request):
    for resource in request.resource_metrics:
        for part in resource.scope_metrics:
            for metric in part.metrics:
                which = metric.WhichOneof("data")
                if which is None:
                    continue
                data = getattr(metric, which)
                for point in data.data_points:
                    yield {
                        **origin(resource.resource, part.scope, part),
                        "name": metric.name,
                        "description": metric.description,
                        "unit": metric.unit,
                        "type": data.DESCRIPTOR.name,
                        "temporality": getattr(data, "aggregation_temporality", 0),
                        "monotonic": getattr(data, "is_monotonic", False),
                        **point_of(point),
                    }


def logs_of(request):
    for resource in request.resource_logs:
        for part in resource.scope_logs:
            for record in part.log_records:
                yield {
                    **origin(resource.resource, part.scope, part),
                    "time": str(record.time_unix_nano),
                    "observed": str(record.observed_time_unix_nano),
                    "severity": [record.severity_number, record.severity_text],
                    "body": value_of(record.body),
                    "attributes": attributes_of(record.attributes),
                    "trace_id": record.trace_id.hex(),
                    "span_id": record.span_id.hex(),
                    "event_name": record.event_name,
                }


ITEMS = {"traces": spans_of, "metrics": points_of, "logs": logs_of}


def services_of(request):
    """The service of each resource; a request holds one."""
    for part in getattr(request, request.DESCRIPTOR.fields[0].name):
        found = [a.value for a in part.resource.attributes if a.key == "service.name"]
        named = found and found[0].WhichOneof("value") == "string_value" and found[0].string_value
        yield named or NAMELESS


def file_name_of(service):
    """The name of a service's files: itself, or a harmless form of it."""
    plain = "".join(c if re.fullmatch(r"[A-Za-z0-9._-]", c) else "_" for c in service[:100])
    return "_" + plain if plain.startswith(".") else plain


def belongs(stem, service):
    wanted = file_name_of(service)
    # `~1` is the older half of a file that grew too long.
    return stem in (wanted, wanted + "~1")


def lines_of(path):
    text = path.read_bytes().decode("utf-8")
    if text and not text.endswith("\n"):
        raise Unreadable("the last line is torn")
    # Not splitlines(): it would also split at line separators inside a string.
    return text.split("\n")[:-1]


def is_output(lines):
    return bool(lines) and all(CRI.fullmatch(line) or not line for line in lines)


def read(folder, each):
    """Calls each(path, signal, request, service) for every line; the errors of all files, and the counts of output."""
    errors, output, files = [], {}, 0
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        relative = str(path.relative_to(folder))
        files += 1
        if path.is_symlink() or not path.is_file() or path.suffix not in ENDINGS:
            errors.append(f"{relative}: not a file of telemetry")
            continue
        signal, kind = ENDINGS[path.suffix]
        try:
            lines = lines_of(path)
        except (Unreadable, UnicodeDecodeError) as error:
            errors.append(f"{relative}: {error}")
            continue
        if signal == "logs" and is_output(lines):
            output[relative] = sum(1 for line in lines if line)
            continue
        for number, line in enumerate(lines, 1):
            try:
                request = parse_line(line, kind)
                services = list(services_of(request))
                if len(services) != 1:
                    raise Unreadable(f"{len(services)} resources in one line")
                if not belongs(path.stem, services[0]):
                    raise Unreadable(f"telemetry of {services[0]!r}")
                each(relative, signal, request, services[0])
            except (Unreadable, ValueError, json_format.ParseError) as error:
                errors.append(f"{relative}:{number}: {error}")
    if files == 0:
        errors.append("no file at all")
    return errors, output


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--items", action="store_true")
    parser.add_argument("--messages", action="store_true")
    options = parser.parse_args()
    services, names, traces, items, messages = {}, set(), set(), {}, []

    def each(file, signal, request, service):
        found = list(ITEMS[signal](request)) if not options.messages else []
        count = {"traces": "spans", "metrics": "points", "logs": "logs"}[signal]
        counts = services.setdefault(service, {"spans": 0, "points": 0, "logs": 0, "lines": 0})
        counts[count] += len(found)
        counts["lines"] += 1
        if signal == "traces":
            names.update(span["name"] for span in found)
            traces.update(span["trace_id"] for span in found)
        items.setdefault(file, []).extend(found)
        messages.append([file, request.SerializeToString(deterministic=True).hex()])

    errors, output = read(options.folder, each)
    summary = {"services": services, "span_names": sorted(names), "trace_ids": sorted(traces), "output": output}
    print(json.dumps(items if options.items else messages if options.messages else summary))
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
