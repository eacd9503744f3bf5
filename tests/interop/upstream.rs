//! Clients of the Python exporter, its own and ours. Everything that the checks
//! demand of the Python client holds with this exporter, so one that fails with ours shows a mistake of ours.

use jumpstarter_tests::client::Client;
use jumpstarter_tests::exporter::{Exporter, Program, config};
use jumpstarter_tests::helpers::{Helper, free_address};
use jumpstarter_tests::python::{Python, python};

use crate::checks::{self, PackedDumps};
use crate::devices::{self, COMPOSITE, READINGS};

async fn exporter(python: &Python) -> (Exporter, Client, Helper) {
    let greeter = Helper::greeter().await.expect("a helper");
    let port = greeter.address.rsplit(':').next().unwrap_or_default();
    let config =
        config("exporter.yaml", &[("port: 18080", &format!("port: {port}"))]).expect("a configuration");
    let exporter = Exporter::local(&Program::Upstream(python.clone()), &config).await.expect("an exporter");
    let client = Client::new(python, &exporter.host());
    (exporter, client, greeter)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_checks_hold_between_python_peers() {
    let Some(python) = python() else { return };
    let (exporter, client, _greeter) = exporter(&python).await;
    checks::power(&client, "power", &[[0.0, 0.0], [5.0, 2.0]]).await;
    let steps = ["send:ping", "expect:p[i]ng", "send:pong", "expect:pong"];
    assert_eq!(checks::console(&client, "serial", &steps).await, ["ping", "pong"]);
    checks::flash(&client, "mux_flasher", PackedDumps::Truncated).await;
    checks::logs(&client, "power", "on", "power on").await;
    checks::errors(&client, "errors", &checks::OF_ERRORS).await;
    let tree = [
        ["", "jumpstarter_driver_composite.client.CompositeClient"],
        ["power", "jumpstarter_driver_power.client.PowerClient"],
        ["echo", "jumpstarter_driver_network.client.NetworkClient"],
        ["serial", "jumpstarter_driver_pyserial.client.PySerialClient"],
        ["storage", "jumpstarter_driver_opendal.client.OpendalClient"],
        ["flasher", "jumpstarter_driver_opendal.client.FlasherClient"],
        ["mux_flasher", "jumpstarter_driver_opendal.client.StorageMuxFlasherClient"],
        ["shell", "jumpstarter_driver_shell.client.ShellClient"],
        ["tcp", "jumpstarter_driver_network.client.NetworkClient"],
        ["tcp_refused", "jumpstarter_driver_network.client.NetworkClient"],
        ["errors", "jumpstarter.client.base.DriverClient"],
    ];
    checks::tree(&client, &tree).await;
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn recorded_scenarios_can_be_repeated() {
    let Some(python) = python() else { return };
    let (exporter, client, _greeter) = exporter(&python).await;
    // Without j_serial_pipe, which a signal ends, and j_shell_driver and j_usage_errors, which need a shell's quoting.
    let scenarios = [
        "j_power_on",
        "j_power_cycle",
        "j_power_read",
        "lib_errors",
        "lib_echo_stream",
        "lib_serial_pexpect",
        "lib_tcp_portforward",
        "lib_resource_upload_plain",
        "lib_storage",
        "lib_storage_file",
        "lib_resource_upload_large",
        "lib_resource_upload_gzip",
        "lib_resource_upload_xz",
        "lib_resource_upload_bz2",
        "lib_resource_upload_zstd",
        "lib_resource_packed_file_without_encoding",
    ];
    checks::repeated(&client, &scenarios).await;
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_exporter_serves_clients_over_tcp() {
    let Some(python) = python() else { return };
    let config = config("exporter.yaml", &[]).expect("a configuration");
    let address = free_address().await.expect("an address");
    let program = Program::Upstream(python.clone());
    let exporter = Exporter::standalone(&program, &config, &address, None).await.expect("an exporter");
    let client = Client::new(&python, &exporter.host());
    checks::power(&client, "power", &[[0.0, 0.0], [5.0, 2.0]]).await;
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_uses_the_python_exporter() {
    let Some(python) = python() else { return };
    let (exporter, _, _greeter) = exporter(&python).await;
    let web = Helper::web(b"fromweb").await.expect("a helper");
    let device = devices::connect(&exporter.address).await;
    devices::power(&device, "power", &READINGS).await;
    devices::console(&device, "serial").await;
    devices::flash(&device, "mux_flasher", PackedDumps::Truncated).await;
    devices::flash_from(&device, "flasher", &format!("http://{}/image", web.address), b"fromweb").await;
    devices::echo(&device, "echo").await;
    devices::forward(&device, "tcp").await;
    devices::logs(&device, "power", "power on").await;
    devices::errors(&device, "errors").await;
    drop(device);
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_builds_the_tree_of_a_composite() {
    let Some(python) = python() else { return };
    let config = config("reports/composite.yaml", &[]).expect("a configuration");
    let exporter = Exporter::local(&Program::Upstream(python), &config).await.expect("an exporter");
    let device = devices::connect(&exporter.address).await;
    devices::tree(&device, &COMPOSITE);
    // What a reference leads to can be used in its place.
    devices::power(&device, "proxy", &READINGS).await;
    devices::echo(&device, "proxy_composite.echo").await;
    drop(device);
    exporter.stop().await.expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_uses_a_standalone_python_exporter_over_tcp() {
    let Some(python) = python() else { return };
    let config = config("exporter.yaml", &[]).expect("a configuration");
    let address = free_address().await.expect("an address");
    let program = Program::Upstream(python);
    let exporter = Exporter::standalone(&program, &config, &address, None).await.expect("an exporter");
    let device = devices::connect(&exporter.address).await;
    devices::power(&device, "power", &READINGS).await;
    devices::console(&device, "serial").await;
    drop(device);
    exporter.stop().await.expect("an orderly end");
}
