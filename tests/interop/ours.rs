//! The Python client with our exporter.

use jumpstarter_tests::client::Client;
use jumpstarter_tests::ours;
use jumpstarter_tests::python::python;

use crate::checks;

#[tokio::test(flavor = "multi_thread")]
async fn python_clients_use_power_the_tree_and_streams() {
    let Some(python) = python() else { return };
    let exporter = ours::start("exporter.yaml").await;
    let client = Client::new(&python, &exporter.address.to_string());
    checks::power(&client, "power", &[[0.0, 0.0], [5.0, 2.0]]).await;
    let tree = [
        ["", "jumpstarter_driver_composite.client.CompositeClient"],
        ["power", "jumpstarter_driver_power.client.PowerClient"],
        ["echo", "jumpstarter_driver_network.client.NetworkClient"],
        ["tcp", "jumpstarter_driver_network.client.NetworkClient"],
        ["tcp_refused", "jumpstarter_driver_network.client.NetworkClient"],
    ];
    checks::tree(&client, &tree).await;
    checks::repeated(&client, &["j_power_on", "j_power_cycle", "j_power_read", "lib_echo_stream"]).await;
    exporter.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_clients_flash_and_dump_the_simulated_board() {
    let Some(python) = python() else { return };
    let board = "apiVersion: jumpstarter.dev/v1alpha1\nkind: ExporterConfig\nmetadata:\n  namespace: default\n  \
                 name: board\nexport:\n  board:\n    type: simulated-board\n";
    let exporter = ours::start_text(board).await;
    let client = Client::new(&python, &exporter.address.to_string());
    checks::flash(&client, "board.storage", checks::PackedDumps::Complete).await;
    exporter.stop().await;
}
