//! Traces of requests, sent to an OpenTelemetry collector. Only programs built with the feature `otlp` have them.

use cosmicsync_node::service::{ErrorCode, ServiceError};

use crate::config::Otlp;

#[cfg(feature = "otlp")]
pub(crate) use sent::{Traces, parent};
#[cfg(not(feature = "otlp"))]
pub(crate) use unsent::{Traces, parent};

/// Reads the address of the collector. `None` if there is to be none.
fn collector(otlp: &Otlp) -> Result<Option<String>, ServiceError> {
    let endpoint = otlp.endpoint.trim_end_matches('/');
    if endpoint.is_empty() {
        return Ok(None);
    }
    if !endpoint.starts_with("http://") {
        let message =
            format!("[otlp] endpoint is {endpoint}, not http://HOST:PORT: a collector beside the node takes it");
        return Err(ServiceError::new(ErrorCode::Usage, message).next("cosmicsync config show --origin"));
    }
    Ok(Some(format!("{endpoint}/v1/traces")))
}

#[cfg(feature = "otlp")]
mod sent {
    use super::{Otlp, ServiceError, collector};
    use cosmicsync_node::service::ErrorCode;
    use opentelemetry::propagation::TextMapPropagator as _;
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_http::HeaderExtractor;
    use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::{Span, Subscriber};
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;
    use tracing_subscriber::Layer;
    use tracing_subscriber::registry::LookupSpan;

    /// Traces on their way to a collector.
    #[derive(Default)]
    pub(crate) struct Traces {
        /// None where no collector is named.
        provider: Option<SdkTracerProvider>,
    }

    impl Traces {
        /// Begins to send traces, if the settings name a collector.
        pub(crate) fn start(otlp: &Otlp) -> Result<Self, ServiceError> {
            let Some(endpoint) = collector(otlp)? else { return Ok(Self { provider: None }) };
            let exporter = SpanExporter::builder().with_http().with_endpoint(&endpoint).build().map_err(|error| {
                let message = format!("cannot send traces to {endpoint}: {error}");
                ServiceError::new(ErrorCode::Usage, message).next("cosmicsync config show --origin")
            })?;
            let resource = Resource::builder().with_service_name("cosmicsync").build();
            let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
            Ok(Self { provider: Some(provider) })
        }

        /// Returns the layer that records spans.
        pub(crate) fn layer<S>(&self) -> Option<Box<dyn Layer<S> + Send + Sync>>
        where
            S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
        {
            let tracer = self.provider.as_ref()?.tracer("cosmicsync");
            // Whatever is logged: a quiet node still has traces.
            Some(tracing_opentelemetry::layer().with_tracer(tracer).with_filter(crate::logging::ours("info")).boxed())
        }
    }

    impl Drop for Traces {
        fn drop(&mut self) {
            if let Some(provider) = self.provider.take()
                && let Err(error) = provider.shutdown()
            {
                tracing::warn!(%error, "the last traces were not sent");
            }
        }
    }

    /// Makes a span the child of the one that the headers of a request name (`traceparent`).
    pub(crate) fn parent() -> Option<cosmicsync_api::Parent> {
        Some(|headers, span: &Span| {
            let context = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
            // A span that nobody records has no parent.
            drop(span.set_parent(context));
        })
    }
}

#[cfg(not(feature = "otlp"))]
mod unsent {
    use super::{ErrorCode, Otlp, ServiceError, collector};
    use tracing::Subscriber;
    use tracing_subscriber::Layer;

    /// No traces: the program was built without them.
    #[derive(Default)]
    pub(crate) struct Traces {}

    impl Traces {
        /// Refuses settings that name a collector.
        pub(crate) fn start(otlp: &Otlp) -> Result<Self, ServiceError> {
            if collector(otlp)?.is_none() {
                return Ok(Self {});
            }
            let message = "[otlp] endpoint is set, and this program was built without OpenTelemetry";
            Err(ServiceError::new(ErrorCode::Usage, message)
                .next("cargo build --release -p cosmicsync --features otlp"))
        }

        /// Returns no layer.
        pub(crate) fn layer<S: Subscriber>(&self) -> Option<Box<dyn Layer<S> + Send + Sync>> {
            None
        }
    }

    /// Returns nothing: no span is recorded.
    pub(crate) const fn parent() -> Option<cosmicsync_api::Parent> {
        None
    }
}
