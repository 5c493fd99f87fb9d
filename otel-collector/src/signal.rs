use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// One of OTLP's signals: its request splits into resources, each written to the file of its service.
pub trait Signal: Message + Default + DeserializeOwned + Serialize + Sized + 'static {
    /// The answer to a whole batch.
    type Response: Message + Default + Serialize;
    /// Name in paths and error texts.
    const NAME: &'static str;
    /// Ending of the file.
    const ENDING: &'static str;

    /// The batch in pieces of one resource each, with the service it belongs to.
    fn split(self) -> Vec<Received<Self>>;
}

/// One resource of a batch.
#[derive(Debug)]
pub struct Received<S> {
    /// `service.name`, or [`NAMELESS`].
    pub service: String,
    /// A request that holds this resource only.
    pub part: S,
}

/// The service of a resource that names none (semantic conventions, "Service").
const NAMELESS: &str = "unknown_service";

fn service_name(resource: Option<&Resource>) -> String {
    let name = resource
        .and_then(|resource| {
            let mut attributes = resource.attributes.iter();
            attributes.find(|attribute| attribute.key == "service.name")
        })
        .and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    match name {
        Some(Value::StringValue(name)) if !name.is_empty() => name.clone(),
        _ => NAMELESS.to_owned(),
    }
}

macro_rules! signal {
    ($request:ident, $response:ident, $field:ident, $name:literal, $ending:literal) => {
        impl Signal for $request {
            type Response = $response;
            const NAME: &'static str = $name;
            const ENDING: &'static str = $ending;

            fn split(self) -> Vec<Received<Self>> {
                self.$field
                    .into_iter()
                    .map(|resource| Received {
                        service: service_name(resource.resource.as_ref()),
                        part: Self {
                            $field: vec![resource],
                        },
                    })
                    .collect()
            }
        }
    };
}

signal!(
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
    resource_spans,
    "traces",
    "traces"
);
signal!(
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
    resource_metrics,
    "metrics",
    "metrics"
);
signal!(
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
    resource_logs,
    "logs",
    "log"
);
