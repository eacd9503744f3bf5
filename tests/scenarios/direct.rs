//! No lab at all: an exporter that listens itself.

use std::process::Stdio;

use jumpstarter_tests::lab::PATIENCE;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use crate::{Mix, Programs, said, scenarios, terminate};

scenarios! {
    crate::MIXES:
        an_exporter_listens_itself_for_those_who_know_the_word;
}

async fn an_exporter_listens_itself_for_those_who_know_the_word(mix: Mix) {
    let Some(programs) = Programs::of(mix) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rig.yaml");
    // JSON is YAML.
    let text = serde_json::json!({
        "apiVersion": "jumpstarter.dev/v1alpha1", "kind": "ExporterConfig",
        "metadata": { "namespace": "default", "name": "rig" },
        "export": { "power": { "type": "jumpstarter_driver_power.driver.MockPower" } },
        "hooks": { "beforeLease": { "script": "echo ready > begun" }, "afterLease": { "script": "echo over > ended" } },
    });
    std::fs::write(&file, text.to_string()).expect("written");
    // Upstream's does not say which port it got.
    let port =
        TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address").port();
    let place = format!("127.0.0.1:{port}");
    let mut rig = programs.jmp(mix.exporter, folder.path());
    rig.args(["run", "--exporter-config"]).arg(&file);
    rig.args(["--tls-grpc-listener", &place, "--tls-grpc-insecure", "--passphrase", "sesame"]);
    let mut rig = rig.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    let listens = async {
        while TcpStream::connect(&place).await.is_err() {
            sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, listens).await.expect("it listens in time");

    let shell = |word: &str, command: &[&str]| {
        let mut shell = programs.jmp(mix.client, folder.path());
        shell.args(["shell", "--tls-grpc", &place, "--tls-grpc-insecure", "--passphrase", word, "--"]);
        shell.args(command);
        said(shell)
    };
    for _ in 0..2 {
        let read = shell("sesame", &["j", "power", "read"]).await;
        assert!(folder.path().join("begun").exists(), "{read}");
        assert!(read.ok().contains("voltage"));
    }
    let refused = shell("barley", &["echo", "begun"]).await;
    assert!(!refused.out.contains("begun"), "{refused}");
    assert!(refused.failed().contains("passphrase"));
    assert!(!folder.path().join("ended").exists(), "its users come and go");
    terminate(&rig);
    timeout(PATIENCE, rig.wait()).await.expect("in time").expect("it ends");
    assert!(folder.path().join("ended").exists());
}
