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

    /// The batch in pieces of one resource each, with the resource's `service.name`.
    fn split(self) -> Vec<Received<Self>>;
}

/// One resource of a batch.
#[derive(Debug)]
pub struct Received<S> {
    /// `service.name`, if it is there and a string.
    pub service: Option<String>,
    /// A request that holds this resource only.
    pub part: S,
}

fn service_name(resource: Option<&Resource>) -> Option<String> {
    let attribute = resource?
        .attributes
        .iter()
        .find(|attribute| attribute.key == "service.name")?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(name) if !name.is_empty() => Some(name.clone()),
        _ => None,
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
