//! The metadata of calls, and who may act as which object.

use std::collections::BTreeMap;

use jumpstarter_identity::{
    Claimed, Code, Holder, Identity, Kind, Refused, Subject, Token, Wanted, authorize, bearer, call::Why,
    may_provision, subject::GENERATION,
};

use crate::{LAB, alice, at, holder, subject};

fn own(token: &Token) -> Identity {
    let own = LAB.verify(token, at(0)).unwrap();
    Identity::Internal { subject: own.subject, generation: own.generation, expires: own.expires }
}

fn user(username: &str) -> Identity {
    let (username, issuer) = (username.to_owned(), "https://dex.example".to_owned());
    Identity::External { username, issuer, expires: at(60) }
}

#[test]
fn a_call_has_one_bearer_token() {
    let token = Token::new("a.b.c");
    for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c "] {
        assert_eq!(bearer(&[value]), Ok(token.clone()), "{value}");
    }
    let none: [&str; 0] = [];
    for (refused, text, code) in [
        (bearer(&none), "missing authorization header", Code::Unauthenticated),
        (bearer(&["Bearer a", "Bearer b"]), "multiple authorization headers", Code::InvalidArgument),
        (bearer(&["Basic YTpi"]), "malformed authorization header", Code::InvalidArgument),
        (bearer(&["Bearer"]), "malformed authorization header", Code::InvalidArgument),
        (bearer(&["Bearer  "]), "malformed authorization header", Code::InvalidArgument),
        (bearer(&[""]), "malformed authorization header", Code::InvalidArgument),
    ] {
        let refused = refused.unwrap_err();
        assert_eq!((refused.to_string().as_str(), refused.code()), (text, code));
    }
    assert_eq!(bearer(&[&[0xff_u8, 0x20][..]]), Err(Refused::MalformedAuthorization));
}

fn claimed(entries: &[(&str, &str)]) -> Result<Claimed, Refused> {
    Claimed::read(|key| {
        let of_key = entries.iter().filter(|(name, _)| *name == key);
        of_key.map(|(_, value)| value.as_bytes().to_vec()).collect::<Vec<_>>()
    })
}

fn wanted(identity: &Identity, kind: Kind, name: Option<&str>) -> Result<Wanted, Refused> {
    let mut entries = vec![("jumpstarter-kind", "Client"), ("jumpstarter-namespace", "lab")];
    entries.extend(name.map(|name| ("jumpstarter-name", name)));
    claimed(&entries)?.wanted(identity, kind)
}

#[test]
fn a_call_says_as_what_it_is_made() {
    let kind = ("jumpstarter-kind", "Client");
    let namespace = ("jumpstarter-namespace", "lab");
    for (entries, text) in [
        (&[namespace][..], "missing metadata: jumpstarter-kind"),
        (&[kind], "missing metadata: jumpstarter-namespace"),
        (&[kind, ("jumpstarter-namespace", "")], "missing metadata: jumpstarter-namespace"),
        (&[kind, namespace, namespace], "multiple metadata: jumpstarter-namespace"),
        (&[kind, kind, namespace], "multiple metadata: jumpstarter-kind"),
    ] {
        let refused = claimed(entries).unwrap_err();
        assert_eq!((refused.to_string().as_str(), refused.code()), (text, Code::InvalidArgument));
    }
    let lab = own(&LAB.issue(&alice(), 0, at(0)).unwrap().token);
    let alice = Wanted { kind: Kind::Client, namespace: "lab".to_owned(), name: "alice".to_owned() };
    assert_eq!(wanted(&lab, Kind::Client, Some("alice")), Ok(alice));
    assert_eq!(wanted(&lab, Kind::Exporter, Some("alice")), Err(Refused::KindMismatch));
    let refused = wanted(&lab, Kind::Client, None).unwrap_err();
    assert_eq!(refused.to_string(), "missing metadata: jumpstarter-name");

    // Whoever comes from elsewhere has a name that follows from what he is called.
    let dex = user("dex:foo@example.com");
    assert_eq!(wanted(&dex, Kind::Client, None).unwrap().to_string(), "client lab/foo-example-com");
    assert_eq!(wanted(&dex, Kind::Client, Some("foo-example-com")).unwrap().name, "foo-example-com");
    let refused = wanted(&dex, Kind::Client, Some("alice")).unwrap_err();
    let text = "resource name mismatch: provided \"alice\" but expected \"foo-example-com\" (derived from OIDC username \"dex:foo@example.com\")";
    assert_eq!((refused.to_string().as_str(), refused.code()), (text, Code::InvalidArgument));
    assert_eq!(wanted(&user("dex:@"), Kind::Client, None).unwrap_err().code(), Code::InvalidArgument);
    let robot = user("dex:system:serviceaccount:lab:robot");
    assert_eq!(wanted(&robot, Kind::Client, Some("any")).unwrap().name, "any");
    assert_eq!(wanted(&robot, Kind::Client, None), Err(Refused::MissingMetadata("jumpstarter-name")));
}

#[test]
fn a_token_is_bound_to_kind_namespace_name_and_uid() {
    let alice = alice();
    let identity = own(&LAB.issue(&alice, 0, at(0)).unwrap().token);
    assert_eq!(authorize(&identity, &holder(&alice)), Ok(()));
    for (other, why, text) in [
        (
            subject(Kind::Exporter, "lab", "alice", "1"),
            Why::OtherKind(Kind::Client, Kind::Exporter),
            "permission denied for exporter lab/alice: the token is for client and not for exporter",
        ),
        (
            subject(Kind::Client, "other", "alice", "1"),
            Why::OtherNamespace("lab".to_owned()),
            "permission denied for client other/alice: the token is for namespace \"lab\"",
        ),
        (
            subject(Kind::Client, "lab", "bob", "1"),
            Why::OtherName("alice".to_owned()),
            "permission denied for client lab/bob: the token is for \"alice\"",
        ),
        (
            subject(Kind::Client, "lab", "alice", "2"),
            Why::Replaced,
            "permission denied for client lab/alice: the token is for another object of this name, which has been deleted",
        ),
    ] {
        let refused = authorize(&identity, &holder(&other)).unwrap_err();
        assert_eq!((refused.to_string().as_str(), refused.code()), (text, Code::PermissionDenied));
        assert!(matches!(refused, Refused::Denied { why: is, .. } if is == why));
    }
}

fn annotated<'a>(subject: &'a Subject, annotations: &'a BTreeMap<String, String>) -> Holder<'a> {
    Holder { annotations, ..holder(subject) }
}

#[test]
fn the_old_token_lives_after_a_clients_own_rotation_and_dies_with_an_administrators() {
    let alice = alice();
    let issue = |generation, offset| own(&LAB.issue(&alice, generation, at(offset)).unwrap().token);
    let mut annotations = BTreeMap::new();
    let first = issue(annotated(&alice, &annotations).generation().unwrap(), -10);
    // Its own rotation is another token of the same generation.
    let second = issue(annotated(&alice, &annotations).generation().unwrap(), 0);
    for token in [&first, &second] {
        assert_eq!(authorize(token, &annotated(&alice, &annotations)), Ok(()));
    }
    let rotated = annotated(&alice, &annotations).rotated();
    annotations.insert(GENERATION.to_owned(), rotated.to_string());
    let third = issue(annotated(&alice, &annotations).generation().unwrap(), 0);
    assert_eq!(authorize(&third, &annotated(&alice, &annotations)), Ok(()));
    for token in [&first, &second] {
        let refused = authorize(token, &annotated(&alice, &annotations)).unwrap_err();
        assert!(matches!(refused, Refused::Denied { why: Why::Rotated, .. }), "{refused}");
    }
    // In the same second again.
    annotations.insert(GENERATION.to_owned(), annotated(&alice, &annotations).rotated().to_string());
    assert!(authorize(&third, &annotated(&alice, &annotations)).is_err());
    // What nobody can read ends all tokens rather than none.
    annotations.insert(GENERATION.to_owned(), "two".to_owned());
    assert!(authorize(&third, &annotated(&alice, &annotations)).is_err());
}

#[test]
fn a_user_of_another_issuer_is_the_one_that_the_object_names() {
    let alice = alice();
    let named = |username| Holder { username, ..holder(&alice) };
    assert_eq!(authorize(&user("dex:alice"), &named(Some("dex:alice"))), Ok(()));
    for (has, needs) in [
        ("dex:alice", None),
        ("dex:alice", Some("")),
        ("", Some("")),
        ("dex:alice", Some("dex:Alice")),
        ("other:alice", Some("dex:alice")),
        // However he comes by that name.
        ("internal:client:lab:alice:1", None),
    ] {
        let refused = authorize(&user(has), &named(needs)).unwrap_err();
        assert!(matches!(refused, Refused::Denied { why: Why::OtherUser(_), .. }), "{refused}");
    }
    // A user of the lab is not one of another issuer, even if the object names him like that.
    let bob = subject(Kind::Client, "lab", "bob", "2");
    let bob = own(&LAB.issue(&bob, 0, at(0)).unwrap().token);
    assert!(authorize(&bob, &named(Some("internal:client:lab:bob:2"))).is_err());
    // Its own token is good, whoever else may.
    let identity = own(&LAB.issue(&alice, 0, at(0)).unwrap().token);
    assert_eq!(authorize(&identity, &named(Some("dex:alice"))), Ok(()));
}

#[test]
fn only_a_client_is_made_for_somebody_and_only_for_people_from_elsewhere() {
    let lab = |kind| Wanted { kind, namespace: "lab".to_owned(), name: "x".to_owned() };
    assert!(may_provision(&user("dex:alice"), &lab(Kind::Client)));
    assert!(!may_provision(&user("dex:alice"), &lab(Kind::Exporter)));
    assert!(!may_provision(&user("dex:system:serviceaccount:lab:robot"), &lab(Kind::Client)));
    // The token of a client that was deleted, or of an exporter.
    for kind in [Kind::Client, Kind::Exporter] {
        let token = LAB.issue(&subject(kind, "lab", "x", "1"), 0, at(0)).unwrap().token;
        assert!(!may_provision(&own(&token), &lab(Kind::Client)));
    }
}
