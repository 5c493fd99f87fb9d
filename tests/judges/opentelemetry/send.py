"""Sends telemetry to a collector with the stock SDK and prints, as JSON, what the SDK handed to its exporters.

    send.py sdk PROTOCOL ADDRESS SERVICE [--gzip] [--rounds N] [--hold]
    send.py every-field ADDRESS
    send.py names ADDRESS
    send.py refusals ADDRESS
    send.py until-full ADDRESS

PROTOCOL is grpc or http. With --hold the process keeps its connections open until its standard input ends.
"""

import argparse
import gzip
import json
import math
import os
import random
import sys

import grpc
import requests
from google.protobuf.descriptor import FieldDescriptor as Field
from google.rpc import status_pb2
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc import _log_exporter as grpc_logs
from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc_metrics
from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_traces
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http import _log_exporter as http_logs
from opentelemetry.exporter.otlp.proto.http import metric_exporter as http_metrics
from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_traces
from opentelemetry.metrics import Observation
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

TIMEOUT = 20
REQUESTS = {
    "traces": trace_service_pb2.ExportTraceServiceRequest,
    "metrics": metrics_service_pb2.ExportMetricsServiceRequest,
    "logs": logs_service_pb2.ExportLogsServiceRequest,
}


def fail(text):
    sys.exit(f"send.py: {text}")


# What the SDK holds, in the same plain form that read.py makes of a file.


def number(value):
    return {"int": str(value)} if isinstance(value, int) else {"double": repr(float(value))}


def value_of(value):
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"bool": value}
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, str):
        return {"string": value}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if hasattr(value, "items"):
        return {"map": attributes_of(value)}
    return {"array": [value_of(item) for item in value]}


def attributes_of(attributes):
    return {key: value_of(value) for key, value in (attributes or {}).items()}


def origin(resource, scope):
    return {
        "resource": attributes_of(resource.attributes),
        "scope": [scope.name, scope.version or ""],
        "scope_attributes": attributes_of(scope.attributes),
        "schema_url": scope.schema_url or "",
    }


def span_of(span):
    return {
        **origin(span.resource, span.instrumentation_scope),
        "trace_id": f"{span.context.trace_id:032x}",
        "span_id": f"{span.context.span_id:016x}",
        "parent_span_id": f"{span.parent.span_id:016x}" if span.parent else "",
        "name": span.name,
        # The SDK counts kinds from 0, the wire from 1.
        "kind": span.kind.value + 1,
        "start": str(span.start_time),
        "end": str(span.end_time),
        "attributes": attributes_of(span.attributes),
        "events": [[event.name, str(event.timestamp), attributes_of(event.attributes)] for event in span.events],
        "links": [
            [f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}", attributes_of(link.attributes)]
            for link in span.links
        ],
        "status": [span.status.status_code.value, span.status.description or ""],
    }


def point_of(point):
    plain = {
        "attributes": attributes_of(point.attributes),
        "start": str(point.start_time_unix_nano or 0),
        "time": str(point.time_unix_nano),
    }
    if hasattr(point, "value"):
        return {**plain, "value": number(point.value)}
    plain |= {
        "count": str(point.count),
        "sum": repr(float(point.sum)),
        "min": repr(float(point.min)),
        "max": repr(float(point.max)),
    }
    if hasattr(point, "explicit_bounds"):
        return plain | {
            "bounds": [repr(float(bound)) for bound in point.explicit_bounds],
            "buckets": [str(count) for count in point.bucket_counts],
        }
    return plain | {
        "scale": point.scale,
        "zero_count": str(point.zero_count),
        "positive": [point.positive.offset, [str(count) for count in point.positive.bucket_counts]],
        "negative": [point.negative.offset, [str(count) for count in point.negative.bucket_counts]],
    }


def metrics_of(data):
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    temporality = getattr(metric.data, "aggregation_temporality", None)
                    yield {
                        **origin(resource.resource, scope.scope),
                        "name": metric.name,
                        "description": metric.description or "",
                        "unit": metric.unit or "",
                        "type": type(metric.data).__name__,
                        "temporality": 0 if temporality is None else temporality.value,
                        "monotonic": getattr(metric.data, "is_monotonic", False),
                        **point_of(point),
                    }


def log_of(item):
    record = item.log_record
    return {
        **origin(item.resource, item.instrumentation_scope),
        "time": str(record.timestamp or 0),
        "observed": str(record.observed_timestamp or 0),
        "severity": [record.severity_number.value, record.severity_text or ""],
        "body": value_of(record.body),
        "attributes": attributes_of(record.attributes),
        "trace_id": f"{record.trace_id:032x}" if record.trace_id else "",
        "span_id": f"{record.span_id:016x}" if record.span_id else "",
        "event_name": record.event_name or "",
    }


class Recording:
    """Stands before an exporter: notes what passes, and that the collector took it."""

    def __init__(self, exporter, plain):
        self.exporter = exporter
        self.plain = plain
        self.sent = []
        self.requests = 0
        self.failures = []

    def export(self, batch, *args, **kwargs):
        result = self.exporter.export(batch, *args, **kwargs)
        if result.name != "SUCCESS":
            # The SDK swallows what an exporter raises.
            self.failures.append(result.name)
        self.requests += 1
        self.sent += self.plain(batch)
        return result

    def __getattr__(self, name):
        return getattr(self.exporter, name)


def exporters(protocol, address, compressed):
    if protocol == "grpc":
        compression = grpc.Compression.Gzip if compressed else grpc.Compression.NoCompression
        options = {"endpoint": address, "insecure": True, "compression": compression, "timeout": TIMEOUT}
        return (
            grpc_traces.OTLPSpanExporter(**options),
            grpc_metrics.OTLPMetricExporter(**options),
            grpc_logs.OTLPLogExporter(**options),
        )
    compression = Compression.Gzip if compressed else Compression.NoCompression

    def options(signal):
        return {"endpoint": f"http://{address}/v1/{signal}", "compression": compression, "timeout": TIMEOUT}

    return (
        http_traces.OTLPSpanExporter(**options("traces")),
        http_metrics.OTLPMetricExporter(**options("metrics")),
        http_logs.OTLPLogExporter(**options("logs")),
    )


ATTRIBUTES = {
    "text": "grüße \u0000\u2028 \"quoted\" \\ \U0001f511",
    "empty": "",
    "yes": True,
    "no": False,
    "zero": 0,
    "least": -(2**63),
    "most": 2**63 - 1,
    "past-double": 2**53 + 1,
    "real": 0.1,
    "whole": 3.0,
    "tiny": 5e-324,
    "not-a-number": math.nan,
    "infinite": math.inf,
    "least-infinite": -math.inf,
    "texts": ["a", "", "c"],
    "ints": [1, -2, 2**62],
    "reals": [1.5, -0.0, math.inf],
    "bools": [True, False],
    "none": [],
    "raw": b"\x00\xff\xfe raw",
    "nested": {"inner": [1, "two", {"three": b"\x03"}], "empty": {}},
}


def spans(tracer, rounds):
    linked = None
    for index in range(rounds):
        # Times of our own: nanoseconds that a double cannot hold.
        start = 1_700_000_000_123_456_789 + index
        with tracer.start_as_current_span(
            "outer", kind=trace.SpanKind.SERVER, attributes={**ATTRIBUTES, "round": index}, start_time=start
        ) as outer:
            outer.add_event("an event", {"bytes": b"\x80", "list": [1, 2]}, timestamp=start + 1)
            outer.add_event("without attributes", timestamp=start + 2)
            links = [trace.Link(linked, {"why": "the round before"})] if linked else []
            with tracer.start_as_current_span("inner", kind=trace.SpanKind.CLIENT, links=links) as inner:
                inner.set_status(trace.StatusCode.ERROR, "refused: a reason")
                with tracer.start_as_current_span("innermost") as innermost:
                    innermost.set_status(trace.StatusCode.OK)
            linked = inner.get_span_context()
    # A span whose parent is in another process, with a trace state.
    remote = trace.SpanContext(
        0xABCDEF, 0x1234, True, trace.TraceFlags(1), trace.TraceState([("vendor", "opaque")])
    )
    context = trace.set_span_in_context(trace.NonRecordingSpan(remote))
    tracer.start_span("of a remote parent", context=context, kind=trace.SpanKind.CONSUMER).end()


def metrics(meter, rounds):
    counter = meter.create_counter("requests", unit="1", description="requests taken")
    real = meter.create_counter("seconds", unit="s")
    both = meter.create_up_down_counter("open")
    histogram = meter.create_histogram("latency", unit="ms", description="how long")
    exponential = meter.create_histogram("exponential")
    gauge = meter.create_gauge("temperature")
    meter.create_observable_gauge(
        "observed", [lambda _: [Observation(7, {"of": "int"}), Observation(-0.5, {"of": "real"})]]
    )
    for index in range(rounds):
        counter.add(1, {"route": "/a"})
        counter.add(2**40, {"route": "/b", "raw": b"\x01"})
        real.add(0.25)
        both.add(-3)
        histogram.record(index + 0.5)
        exponential.record(2.0**index)
        exponential.record(0)
    gauge.set(-273, {"kind": "int"})
    gauge.set(36.6, {"kind": "real"})


def logs(logger, tracer, rounds):
    for index in range(rounds):
        with tracer.start_as_current_span("logging"):
            logger.emit(
                timestamp=1_700_000_000_987_654_321 + index,
                severity_number=SeverityNumber.WARN,
                severity_text="WARN",
                body=f"line {index}\nand another",
                attributes=ATTRIBUTES,
                event_name="an.event",
            )
    logger.emit(severity_number=SeverityNumber.FATAL4, body={"kind": "map", "list": [1, None, {"raw": b"\xff"}]})
    logger.emit(severity_number=SeverityNumber.TRACE, body=b"\x00\x01")
    logger.emit(severity_number=SeverityNumber.UNSPECIFIED, body=None)


def with_sdk(options):
    resource = Resource.create({"service.name": options.service, "service.instance.id": "1", "ports": [1, 2]})
    of_traces, of_metrics, of_logs = exporters(options.protocol, options.address, options.gzip)
    of_traces = Recording(of_traces, lambda batch: [span_of(span) for span in batch])
    of_metrics = Recording(of_metrics, lambda data: list(metrics_of(data)))
    of_logs = Recording(of_logs, lambda batch: [log_of(record) for record in batch])

    # Small batches and no timers: many requests, and only those asked for.
    never = 10**8
    traces_to = TracerProvider(resource=resource)
    traces_to.add_span_processor(
        BatchSpanProcessor(of_traces, schedule_delay_millis=never, max_export_batch_size=8, max_queue_size=10**5)
    )
    metrics_to = MeterProvider(
        [PeriodicExportingMetricReader(of_metrics, export_interval_millis=math.inf)],
        resource,
        views=[View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation())],
    )
    logs_to = LoggerProvider(resource)
    logs_to.add_log_record_processor(
        BatchLogRecordProcessor(of_logs, schedule_delay_millis=never, max_export_batch_size=8, max_queue_size=10**5)
    )
    tracer = traces_to.get_tracer("judge", "1.2.3", "https://example.com/schema", {"scope": "yes"})
    spans(tracer, options.rounds)
    logs(logs_to.get_logger("judge", "1.2.3"), tracer, options.rounds)
    metrics(metrics_to.get_meter("judge", "1.2.3"), options.rounds)

    for provider in (traces_to, logs_to, metrics_to):
        if provider.force_flush(timeout_millis=TIMEOUT * 1000) is False:
            fail("a flush did not end in time")
    failures = of_traces.failures + of_metrics.failures + of_logs.failures
    if failures:
        fail(f"exports ended as {failures}")
    # Taken before anything else can be exported: what a flush has acknowledged.
    print(
        json.dumps(
            {
                "service": options.service,
                "requests": {"traces": of_traces.requests, "metrics": of_metrics.requests, "logs": of_logs.requests},
                "spans": of_traces.sent,
                "points": of_metrics.sent,
                "logs": of_logs.sent,
            }
        ),
        flush=True,
    )
    if options.hold:
        sys.stdin.read()
    # A shutdown would export once more, which nobody has noted.
    os._exit(0)


# Messages in which every field of the protocol is set, made from the official descriptors.

# References into the dictionary of profiles; they have no meaning in these signals.
PROFILES_ONLY = {"string_value_strindex", "key_strindex"}


class Filler:
    def __init__(self):
        self.random = random.Random(20)
        self.met = set()
        self.keys = 0

    def scalar(self, field):
        if field.type == Field.TYPE_BYTES:
            length = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}.get(field.name)
            return self.random.randbytes(self.random.randint(1, 20) if length is None else length)
        if field.full_name.endswith(".KeyValue.key"):
            self.keys += 1
            return f"key {self.keys}"
        if field.type == Field.TYPE_STRING:
            return self.random.choice(["text", "\u0000\u2028\U0001f511", 'a "quoted" \\ text\n'])
        choices = {
            Field.CPPTYPE_BOOL: [True],
            Field.CPPTYPE_INT32: [-(2**31), -1, 2**31 - 1],
            Field.CPPTYPE_UINT32: [1, 2**32 - 1],
            Field.CPPTYPE_INT64: [-(2**63), 2**53 + 1, 2**63 - 1],
            Field.CPPTYPE_UINT64: [2**53 + 1, 2**64 - 1],
            Field.CPPTYPE_DOUBLE: [math.nan, math.inf, -math.inf, -0.0, 0.1, 1e300, 5e-324],
        }
        if field.cpp_type == Field.CPPTYPE_ENUM:
            return self.random.choice(field.enum_type.values).number
        return self.random.choice(choices[field.cpp_type])

    def fill(self, message, depth=0):
        chosen = {self.random.choice(oneof.fields).name for oneof in message.DESCRIPTOR.oneofs}
        for field in message.DESCRIPTOR.fields:
            if field.name in PROFILES_ONLY or (field.containing_oneof and field.name not in chosen):
                continue
            self.met.add(field.full_name)
            times = self.random.randint(0, 2) if field.is_repeated else 1
            if field.cpp_type == Field.CPPTYPE_MESSAGE:
                if depth > 9:
                    continue
                for _ in range(times):
                    part = getattr(message, field.name)
                    part = part.add() if field.is_repeated else part
                    if not field.is_repeated:
                        part.SetInParent()
                    self.fill(part, depth + 1)
            elif field.is_repeated:
                getattr(message, field.name).extend(self.scalar(field) for _ in range(times))
            else:
                setattr(message, field.name, self.scalar(field))
        return message


def fields_below(descriptor, met):
    for field in descriptor.fields:
        if field.full_name not in met and field.name not in PROFILES_ONLY:
            met.add(field.full_name)
            if field.message_type:
                fields_below(field.message_type, met)
    return met


def named(request, services):
    """A request with one resource per service; None leaves the name out."""
    field = request.DESCRIPTOR.fields[0].name
    for service in services:
        resource = getattr(request, field).add().resource
        if service is not None:
            attribute = resource.attributes.add(key="service.name")
            attribute.value.string_value = service
    return request


def post(address, signal, body, **headers):
    headers = {"Content-Type": "application/x-protobuf", **headers}
    return requests.post(f"http://{address}/v1/{signal}", data=body, headers=headers, timeout=TIMEOUT)


def every_field(options):
    filler = Filler()
    sent = []
    for signal, kind in REQUESTS.items():
        wanted = fields_below(kind.DESCRIPTOR, set())
        for index in range(400):
            request = kind()
            resources = getattr(request, kind.DESCRIPTOR.fields[0].name)
            filler.fill(resources.add(), 1)
            attribute = resources[0].resource.attributes.add(key="service.name")
            attribute.value.string_value = f"filled-{signal}"
            # A second service in the same request goes to a file of its own.
            if index % 10 == 0:
                other = resources.add()
                other.CopyFrom(resources[0])
                other.resource.attributes[-1].value.string_value = "second"
            answer = post(options.address, signal, request.SerializeToString())
            if answer.status_code != 200:
                fail(f"{signal}: {answer.status_code} {answer.text}")
            for resource in resources:
                part = kind()
                getattr(part, kind.DESCRIPTOR.fields[0].name).append(resource)
                service = resource.resource.attributes[-1].value.string_value
                sent.append([f"{service}.{signal}", part.SerializeToString(deterministic=True).hex()])
        missing = wanted - filler.met - {kind.DESCRIPTOR.fields[0].full_name}
        if missing:
            fail(f"never set: {sorted(missing)}")
    print(json.dumps(sent))


def names(options):
    long = "n" * 300
    services = ["../../outside", "/etc/passwd", "..", ".", "a/b\\c", "nul\0", "grüße", long, "", None, "plain.name-1_2"]
    for signal, kind in REQUESTS.items():
        # All of them in one request, and each of its own.
        for request in [named(kind(), services)] + [named(kind(), [service]) for service in services]:
            answer = post(options.address, signal, request.SerializeToString())
            if answer.status_code != 200:
                fail(f"{signal}: {answer.status_code} {answer.text}")
        # A name that is no text names nothing.
        request = kind()
        resource = getattr(request, kind.DESCRIPTOR.fields[0].name).add().resource
        resource.attributes.add(key="service.name").value.int_value = 7
        post(options.address, signal, request.SerializeToString()).raise_for_status()
    print(json.dumps(services))


def refusals(options):
    """The status of each request that must be refused, beside its twin that passes."""
    channel = grpc.insecure_channel(options.address)
    stub = trace_service_pb2_grpc.TraceServiceStub(channel)
    raw = channel.unary_unary(
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        request_serializer=lambda body: body,
        response_deserializer=trace_service_pb2.ExportTraceServiceResponse.FromString,
    )

    def call(request, method=stub.Export, **more):
        try:
            method(request, timeout=TIMEOUT, **more)
            return "OK"
        except grpc.RpcError as error:
            return error.code().name

    def padded(size):
        request = named(REQUESTS["traces"](), ["sized"])
        request.resource_spans[0].schema_url = "s" * (size - 100)
        request.resource_spans[0].schema_url += "s" * (size - request.ByteSize())
        return request

    limit = 4 << 20
    fits, too_large = padded(limit), padded(limit + 1)
    assert (fits.ByteSize(), too_large.ByteSize()) == (limit, limit + 1)
    small = named(REQUESTS["traces"](), ["small"])
    zipped = {"Content-Encoding": "gzip"}
    # Ends inside a field, and a field of a wire type that does not exist.
    torn, wrong = small.SerializeToString()[:-1], b"\x0f\x00"
    statuses = {
        "http": post(options.address, "traces", small.SerializeToString()),
        "http torn": post(options.address, "traces", torn),
        "http wrong": post(options.address, "traces", wrong),
        "http torn metrics": post(options.address, "metrics", torn),
        "http torn logs": post(options.address, "logs", torn),
        "http text": post(options.address, "traces", small.SerializeToString(), **{"Content-Type": "text/plain"}),
        "http unknown path": post(options.address, "profiles", b""),
        "http fits": post(options.address, "traces", fits.SerializeToString()),
        "http too large": post(options.address, "traces", too_large.SerializeToString()),
        "http gzip": post(options.address, "traces", gzip.compress(small.SerializeToString()), **zipped),
        "http gzip fits": post(options.address, "traces", gzip.compress(fits.SerializeToString()), **zipped),
        "http gzip too large": post(options.address, "traces", gzip.compress(too_large.SerializeToString()), **zipped),
        "http gzip bomb": post(options.address, "traces", gzip.compress(bytes(1 << 30), 1), **zipped),
        "http gzip torn": post(options.address, "traces", gzip.compress(small.SerializeToString())[:-9], **zipped),
        "http gzip is none": post(options.address, "traces", small.SerializeToString(), **zipped),
        "http unknown coding": post(options.address, "traces", b"", **{"Content-Encoding": "br"}),
    }
    statuses = {name: answer.status_code for name, answer in statuses.items()}
    gzipped = {"compression": grpc.Compression.Gzip}
    statuses |= {
        "grpc": call(small),
        "grpc torn": call(torn, raw),
        "grpc fits": call(fits),
        "grpc too large": call(too_large),
        "grpc gzip": call(small, **gzipped),
        "grpc gzip fits": call(fits, **gzipped),
        "grpc gzip too large": call(too_large, **gzipped),
        "grpc unknown service": call(b"", channel.unary_unary("/opentelemetry.proto.Other/Export")),
        "grpc still": call(small),
    }
    # An error of OTLP/HTTP is a google.rpc.Status in the encoding of the request.
    answer = post(options.address, "traces", torn)
    status = status_pb2.Status.FromString(answer.content)
    statuses["http error"] = [answer.headers["Content-Type"], status.message]
    print(json.dumps(statuses))


def until_full(options):
    """Sends to a small disk until it is full: larger requests first, then one that still fits."""

    def of_size(size):
        request = named(REQUESTS["traces"](), ["filling"])
        request.resource_spans[0].schema_url = "s" * size
        return request

    large, small = of_size(20_000), of_size(10)
    answers = []
    # Twice after the first refusal, as an exporter would.
    while len(answers) < 20 and answers[-2:] != [503, 503]:
        answers.append(post(options.address, "traces", large.SerializeToString()).status_code)
    try:
        with grpc.insecure_channel(options.address) as channel:
            trace_service_pb2_grpc.TraceServiceStub(channel).Export(large, timeout=TIMEOUT)
        code = "OK"
    except grpc.RpcError as error:
        code = error.code().name
    last = post(options.address, "traces", small.SerializeToString()).status_code
    print(json.dumps({"http": answers, "grpc": code, "small": last}))


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    sdk = commands.add_parser("sdk")
    sdk.add_argument("protocol", choices=["grpc", "http"])
    sdk.add_argument("address")
    sdk.add_argument("service")
    sdk.add_argument("--gzip", action="store_true")
    sdk.add_argument("--rounds", type=int, default=30)
    sdk.add_argument("--hold", action="store_true")
    sdk.set_defaults(run=with_sdk)
    for name, run in (("every-field", every_field), ("until-full", until_full), ("names", names), ("refusals", refusals)):
        command = commands.add_parser(name)
        command.add_argument("address")
        command.set_defaults(run=run)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
