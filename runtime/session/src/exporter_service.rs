//! `jumpstarter.v1.ExporterService`: the report, upstream's driver calls, the log, the status.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures::{StreamExt as _, stream::BoxStream};
use jumpstarter_core::{
    describe::Kind,
    dispatch::{Answer, Payload},
};
use jumpstarter_protocol::v1::{
    DriverCallRequest, DriverCallResponse, EndSessionRequest, EndSessionResponse, GetReportResponse,
    GetStatusRequest, GetStatusResponse, LogStreamResponse, ResetRequest, ResetResponse,
    StreamingDriverCallRequest, StreamingDriverCallResponse, exporter_service_server::ExporterService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    access::Access,
    calls::{self, Failure, Operation},
    hint,
    session::Shared,
};

/// The service behind one way in.
pub(crate) struct Exporter {
    shared: Arc<Shared>,
    access: Arc<Access>,
    ids: Ids,
}

impl Exporter {
    pub(crate) fn new(shared: Arc<Shared>, access: Arc<Access>) -> Self {
        Self { shared, access, ids: Ids::new() }
    }
}

/// Makes the uuids of answers, which are new for each message and mean nothing. A system call for each item of a fast
/// stream would be a waste.
#[derive(Clone)]
struct Ids(Arc<(Uuid, AtomicU64)>);

impl Ids {
    fn new() -> Self {
        Self(Arc::new((Uuid::new_v4(), AtomicU64::new(0))))
    }

    fn next(&self) -> String {
        let (base, count) = &*self.0;
        let count = count.fetch_add(1, Ordering::Relaxed);
        // Leaves the bits alone that say which version of uuid this is.
        let bits = base.as_u128() ^ u128::from(count & 0xffff_ffff_ffff);
        Uuid::from_u128(bits).to_string()
    }
}

#[tonic::async_trait]
impl ExporterService for Exporter {
    type StreamingDriverCallStream = BoxStream<'static, Result<StreamingDriverCallResponse, Status>>;
    type LogStreamStream = BoxStream<'static, Result<LogStreamResponse, Status>>;

    async fn get_report(&self, request: Request<()>) -> Result<Response<GetReportResponse>, Status> {
        let mut report = self.shared.report();
        if hint::is_python(request.metadata()) {
            hint::add(&mut report.reports);
        }
        Ok(Response::new(report))
    }

    async fn driver_call(
        &self,
        request: Request<DriverCallRequest>,
    ) -> Result<Response<DriverCallResponse>, Status> {
        let kinds = calls::wants_kinds(request.metadata());
        let request = request.into_inner();
        let call = async {
            self.access.check_gate(&self.shared.status)?;
            let node = calls::instance(&self.shared, &request.uuid)?;
            let (provided, index) = calls::method(node, &request.method, Kind::Unary)?;
            let payload = Payload::Values(request.args);
            let (reply, operation) = Operation::run(&self.shared, node, provided, index, payload).await?;
            Ok(operation.unary(reply)?.into_value()?)
        };
        let result = call.await.map_err(|failure: Failure| failure.told(kinds))?;
        Ok(Response::new(DriverCallResponse { uuid: self.ids.next(), result: Some(result) }))
    }

    async fn streaming_driver_call(
        &self,
        request: Request<StreamingDriverCallRequest>,
    ) -> Result<Response<Self::StreamingDriverCallStream>, Status> {
        let kinds = calls::wants_kinds(request.metadata());
        let request = request.into_inner();
        let call = async {
            self.access.check_gate(&self.shared.status)?;
            let node = calls::instance(&self.shared, &request.uuid)?;
            let (provided, index) = calls::method(node, &request.method, Kind::ServerStream)?;
            let payload = Payload::Values(request.args);
            let (reply, operation) = Operation::run(&self.shared, node, provided, index, payload).await?;
            operation.stream(reply)
        };
        let answers = call.await.map_err(|failure: Failure| failure.told(kinds))?;
        let ids = self.ids.clone();
        let messages = answers.map(move |answer| {
            let result = answer.and_then(|answer: Answer| Ok(answer.into_value()?));
            let result = result.map_err(|failure: Failure| failure.told(kinds))?;
            Ok(StreamingDriverCallResponse { uuid: ids.next(), result: Some(result) })
        });
        Ok(Response::new(calls::with_first(messages).await?))
    }

    async fn log_stream(&self, _: Request<()>) -> Result<Response<Self::LogStreamStream>, Status> {
        let state = (self.shared.logs.stream(), self.shared.ended.clone());
        let lines = futures::stream::unfold(state, async |(mut reader, ended)| {
            let line = reader.next(&ended).await?;
            Some((Ok(line), (reader, ended)))
        });
        Ok(Response::new(lines.boxed()))
    }

    async fn reset(&self, _: Request<ResetRequest>) -> Result<Response<ResetResponse>, Status> {
        Err(Status::unimplemented("Reset is not offered; drivers are reset when a session starts"))
    }

    async fn get_status(&self, _: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        Ok(Response::new(self.shared.status.answer().into()))
    }

    async fn end_session(
        &self,
        _: Request<EndSessionRequest>,
    ) -> Result<Response<EndSessionResponse>, Status> {
        let success = self.shared.end_lease.as_ref().is_some_and(|lease| lease.end());
        let message = if success {
            "Session end triggered, afterLease hook running asynchronously"
        } else {
            "No active lease context"
        };
        Ok(Response::new(EndSessionResponse { success, message: Some(message.to_owned()) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_are_valid_version_four_uuids() {
        let ids = Ids::new();
        let (a, b) = (ids.next(), ids.next());
        assert_ne!(a, b);
        for id in [a, b] {
            assert_eq!(Uuid::parse_str(&id).unwrap().get_version_num(), 4);
        }
    }
}
