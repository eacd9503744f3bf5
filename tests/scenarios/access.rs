//! Tokens: by variables only, rotated, broken.

use jumpstarter_protocol::admin::v1::{IssueRequest, Key};
use serde_json::json;

use crate::{Mix, Scene, said, scenarios};

scenarios! {
    crate::CLIENTS:
        a_client_needs_nothing_but_variables
        a_broken_token_is_refused_and_shown_to_nobody;
    crate::UPSTREAMS_CLIENT:
        a_token_is_rotated_and_an_administrator_ends_all_of_them;
}

async fn a_client_needs_nothing_but_variables(mix: Mix) {
    let Some(mut scene) = Scene::new(mix).await else { return };
    let rig = scene.rig(json!({})).await;
    let me = scene.lab.create("Client", "me", json!({})).await;
    let authority = scene.lab.path().join("authority.pem");
    std::fs::write(&authority, &me.authority).expect("written");
    let object = scene.lab.object("Client", "me").await;
    let mut shell = scene.programs.jmp(scene.programs.mix.client, scene.lab.path());
    shell
        .env("JMP_NAMESPACE", "default")
        .env("JMP_NAME", "me")
        .env("JMP_ENDPOINT", object["status"]["endpoint"].as_str().expect("an endpoint"))
        .env("JMP_TOKEN", &me.token)
        .env("SSL_CERT_FILE", &authority)
        .env("JUMPSTARTER_GRPC_INSECURE", "1")
        .args(["shell", "--selector", "board=demo", "--", "j", "power", "on"]);
    said(shell).await.ok();
    scene.free("rig").await;
    drop(rig);
    scene.stop().await;
}

async fn a_token_is_rotated_and_an_administrator_ends_all_of_them(mix: Mix) {
    let Some(mut scene) = Scene::new(mix).await else { return };
    let file = scene.client("alice").await;
    let token = || {
        let text = std::fs::read_to_string(&file).expect("a file");
        text.split(|char: char| char.is_whitespace() || "\"',".contains(char))
            .find(|word| word.matches('.').count() == 2 && word.len() > 100)
            .expect("a token")
            .to_owned()
    };
    let mut seen = vec![token()];
    for _ in 0..2 {
        let said = scene.said("alice", &["auth", "rotate"]).await.ok();
        // It writes the file where it looks for this client otherwise.
        let saved = scene.lab.path().join("jumpstarter/clients/alice.yaml");
        std::fs::copy(&saved, &file).unwrap_or_else(|error| panic!("{}: {error}", saved.display()));
        let new = token();
        assert!(!seen.contains(&new), "the same token again: {said}");
        seen.push(new);
        scene.said("alice", &["get", "exporters", "-o", "name"]).await.ok();
    }
    let status = scene.said("alice", &["auth", "status"]).await.ok();
    assert!(status.contains("client:default:alice:"), "{status}");
    // Those from before are good until their time is over.
    let text = std::fs::read_to_string(&file).expect("a file");
    let put = |token: &str| std::fs::write(&file, text.replace(&seen[2], token)).expect("written");
    put(&seen[0]);
    scene.said("alice", &["get", "exporters", "-o", "name"]).await.ok();
    let key = Some(Key { kind: "Client".to_owned(), name: "alice".to_owned() });
    scene.lab.admin.issue(IssueRequest { key, rotate: true }).await.expect("a token");
    for old in &seen {
        put(old);
        let refused = scene.said("alice", &["get", "exporters", "-o", "name"]).await.failed();
        assert!(!refused.contains(old), "the token is shown");
    }
    scene.stop().await;
}

async fn a_broken_token_is_refused_and_shown_to_nobody(mix: Mix) {
    let Some(mut scene) = Scene::new(mix).await else { return };
    let file = scene.client("alice").await;
    let text = std::fs::read_to_string(&file).expect("a file");
    let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let token = config["token"].as_str().expect("a token");
    let broken = format!("{}AAAA", &token[..token.len() - 4]);
    config["token"] = broken.clone().into();
    std::fs::write(&file, config.to_string()).expect("written");
    let refused = scene.said("alice", &["get", "exporters"]).await.failed();
    assert!(refused.contains("signature") && !refused.contains(&broken), "{refused}");
    scene.stop().await;
}
