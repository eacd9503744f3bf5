//! Clients of our exporter, which runs inside of the test with the drivers that stand for upstream's.

use jumpstarter_tests::client::Client;
use jumpstarter_tests::exporter::config;
use jumpstarter_tests::helpers::Helper;
use jumpstarter_tests::ours;
use jumpstarter_tests::python::python;

use crate::checks::{self, PackedDumps};
use crate::devices::{self, COMPOSITE, READINGS};

/// Recorded scenarios that users of the Python client see end in the same way.
const SCENARIOS: [&str; 6] = [
    "j_power_on",
    "j_power_cycle",
    "j_power_read",
    "lib_echo_stream",
    "lib_serial_pexpect",
    "lib_resource_packed_file_without_encoding",
];

#[tokio::test(flavor = "multi_thread")]
async fn python_clients_use_our_exporter() {
    let Some(python) = python() else { return };
    let exporter = ours::start("exporter.yaml").await;
    let client = Client::new(&python, &exporter.address.to_string());
    checks::power(&client, "power", &[[0.0, 0.0], [5.0, 2.0]]).await;
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
    checks::repeated(&client, &SCENARIOS).await;
    let steps = ["send:ping", "expect:p[i]ng", "send:pong", "expect:pong"];
    assert_eq!(checks::console(&client, "serial", &steps).await, ["ping", "pong"]);
    checks::logs(&client, "power", "on", "power on").await;
    checks::errors(&client, "errors", &checks::OF_ERRORS).await;
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_clients_flash_and_dump_the_simulated_board() {
    let Some(python) = python() else { return };
    let board = "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nmetadata:\n  namespace: default\n  \
                 name: board\nexport:\n  board:\n    type: simulated-board\n";
    let exporter = ours::start_text(board).await;
    let client = Client::new(&python, &exporter.address.to_string());
    checks::flash(&client, "board.storage", PackedDumps::Complete).await;
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_uses_our_exporter() {
    let greeter = Helper::greeter().await.expect("a helper");
    let web = Helper::web(b"fromweb").await.expect("a helper");
    let port = greeter.address.rsplit(':').next().unwrap_or_default();
    let text =
        config("exporter.yaml", &[("port: 18080", &format!("port: {port}"))]).expect("a configuration");
    let exporter = ours::start_text(&text).await;
    let device = devices::connect(&exporter.address).await;
    devices::power(&device, "power", &READINGS).await;
    devices::console(&device, "serial").await;
    devices::flash(&device, "mux_flasher", PackedDumps::Complete).await;
    devices::flash_from(&device, "flasher", &format!("http://{}/image", web.address), b"fromweb").await;
    devices::echo(&device, "echo").await;
    devices::forward(&device, "tcp").await;
    devices::logs(&device, "power", "power on").await;
    devices::errors(&device, "errors").await;
    drop(device);
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_clients_build_the_tree_of_a_composite() {
    let exporter = ours::start("reports/composite.yaml").await;
    let device = devices::connect(&exporter.address).await;
    devices::tree(&device, &COMPOSITE);
    devices::power(&device, "proxy", &READINGS).await;
    devices::echo(&device, "proxy_composite.echo").await;
    drop(device);
    if let Some(python) = python() {
        let client = Client::new(&python, &exporter.address.to_string());
        checks::tree(&client, &COMPOSITE).await;
        checks::power(&client, "proxy", &[[0.0, 0.0], [5.0, 2.0]]).await;
    }
    exporter.stop().await;
}
