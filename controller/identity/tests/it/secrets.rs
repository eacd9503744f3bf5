//! That no token is in any text.

use std::{
    io,
    sync::{Arc, Mutex},
};

use jumpstarter_identity::{Authenticator, External, Issuer, SigningKey, Token, bearer};
use serde_json::json;

use crate::{LAB, NOW, Signer, alice, at, external, unsigned};

/// Everything that is logged.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_token_is_in_no_error_and_in_no_log() {
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let signer = Signer::elliptic();
    let provider = external::Provider::default();
    let settings = external::settings(|_| {});
    let lab =
        Authenticator::new(vec![External::with(&settings, provider.clone()).unwrap()], LAB.clone()).unwrap();
    let own = LAB.issue(&alice(), 0, at(0)).unwrap().token;
    let text = own.expose().to_owned();
    let foreign = Issuer::new(SigningKey::random().unwrap()).issue(&alice(), 0, at(0)).unwrap().token;
    let mut expired = external::claims();
    expired["exp"] = json!(NOW);
    let tokens = [
        own.clone(),
        foreign,
        Token::new(&text[..text.len() - 10]),
        Token::new(text.replace('.', "-")),
        Token::new(format!("{text}.{text}")),
        Token::new(text.replace("ey", "!!")),
        signer.sign(Some("e"), &external::claims()),
        signer.sign(Some("e"), &expired),
        signer.sign(Some("e"), &json!({ "iss": "https://stranger.example", "exp": NOW + 60 })),
        unsigned(&json!({ "alg": "none" }), &crate::claims(), ""),
        Token::new("a-secret-that-is-no-token-at-all"),
    ];
    let mut texts = Vec::new();
    for (round, keys) in
        [vec![], vec![Signer::elliptic().jwk("e")], vec![signer.jwk("e")]].into_iter().enumerate()
    {
        if round > 0 {
            provider.has(&keys);
        }
        for token in &tokens {
            let offset = i64::try_from(round).unwrap() * 10;
            let outcome = lab.authenticate(token, at(offset)).await;
            texts.push(format!("{outcome:?} {token:?}"));
            if let Err(refused) = outcome {
                texts.push(refused.to_string());
            }
        }
    }
    for value in [text.as_str(), &format!("Basic {text}"), &format!("Bearer{text}")] {
        texts.push(format!("{:?}", bearer(&[value])));
    }
    texts.push(format!("{lab:?} {:?}", LAB.issue(&alice(), 0, at(0))));
    let logged = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("the keys of an issuer cannot be had"), "something was logged: {logged}");
    texts.push(logged);
    for token in &tokens {
        // A header alone is the same in all of them, and says nothing; but nobody has a reason to show it.
        for piece in token.expose().split('.').filter(|piece| piece.len() >= 8) {
            for text in &texts {
                assert!(!text.contains(piece), "{text}");
            }
        }
    }
    // The check finds what it looks for.
    assert!(own.expose().split('.').all(|piece| format!("Bearer {text}").contains(piece)));
}
