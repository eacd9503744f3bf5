//! A call within one process: from the bytes of a request to the bytes of its answer.

use std::{hint::black_box, sync::Arc, time::Instant};

use futures::future::BoxFuture;
use jumpstarter::{
    Call, Client as _, Target,
    dispatch::{Answer, Args, Dispatch, Payload, Reply},
};
use prost::Message as _;

use crate::{
    Effort, Outcome, bare,
    ours::{self, Answering, Probe, ProbeClient},
    report::{Goal, Row, in_turns},
};

const CALLS: usize = 50_000;

/// What a generated server does at least: decode, call through a pointer, encode.
trait ByHand: Send + Sync {
    fn sample(&self, ask: bare::Ask) -> BoxFuture<'_, bare::Reading>;
}

impl ByHand for Answering {
    fn sample(&self, ask: bare::Ask) -> BoxFuture<'_, bare::Reading> {
        Box::pin(async move {
            let reading = ours::reading(ask.number);
            bare::Reading { voltage: reading.voltage, current: reading.current }
        })
    }
}

pub(crate) async fn take(effort: Effort) -> Outcome<Vec<Row>> {
    let calls = effort.of(CALLS);
    let client = ProbeClient::local(Answering::default());
    let Target::Local(dispatch) = client.target().clone() else {
        return Err("a local client is not local".into());
    };
    let by_hand: Arc<dyn ByHand> = Arc::new(Answering::default());
    let request = bytes::Bytes::from(bare::Ask { number: 7 }.encode_to_vec());

    let bytes = in_turns(
        effort.rounds,
        async || {
            let begun = Instant::now();
            for _ in 0..calls {
                black_box(native(&*dispatch, request.clone()).await?);
            }
            Ok(each(begun, calls))
        },
        async || {
            let begun = Instant::now();
            for _ in 0..calls {
                let ask = bare::Ask::decode(black_box(request.clone()))?;
                black_box(bytes::Bytes::from(by_hand.sample(ask).await.encode_to_vec()));
            }
            Ok(each(begun, calls))
        },
    );
    let bytes = bytes.await?;

    let direct = Answering::default();
    let typed = in_turns(
        effort.rounds,
        async || {
            let begun = Instant::now();
            for _ in 0..calls {
                black_box(client.sample(black_box(7)).await?);
            }
            Ok(each(begun, calls))
        },
        async || {
            let begun = Instant::now();
            for _ in 0..calls {
                black_box(Probe::sample(&direct, black_box(7)).await?);
            }
            Ok(each(begun, calls))
        },
    );
    Ok(vec![
        Row::new(
            "dispatch",
            "protobuf in, protobuf out (bare: decoded and encoded by hand)",
            "ns",
            Goal::None,
        )
        .of(&bytes),
        Row::new("dispatch", "typed client of a local driver (bare: the method itself)", "ns", Goal::None)
            .of(&typed.await?),
    ])
}

async fn native(dispatch: &dyn Dispatch, request: bytes::Bytes) -> Outcome<bytes::Bytes> {
    let args = Args::new(Payload::Proto(request), Call::default());
    let reply = dispatch.call(0, args).await?;
    match reply {
        Reply::Unary(answer) => Ok(Answer::into_proto(answer)?),
        _ => Err("a unary call was answered with a stream".into()),
    }
}

fn each(begun: Instant, calls: usize) -> f64 {
    begun.elapsed().as_secs_f64() * 1e9 / calls as f64
}
