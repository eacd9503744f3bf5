use super::*;

#[test]
fn pitfall_v1_whole_doubles_are_integers_and_others_are_refused() {
    assert_eq!(i64::from_value(value::number(3.0), Reading::ARGUMENT), Ok(3));
    let error = i64::from_value(value::number(1.5), Reading::ARGUMENT).unwrap_err();
    assert_eq!(error.to_string(), "expected a whole number, got 1.5");
    assert!(u8::from_value(value::number(256.0), Reading::ARGUMENT).is_err());
    assert!(u32::from_value(value::number(-1.0), Reading::ARGUMENT).is_err());
}

#[test]
fn pitfall_v2_large_integers_are_refused_instead_of_losing_digits() {
    assert!((1_i64 << 53).to_value().is_ok());
    assert!(((1_i64 << 53) + 2).to_value().is_err());
}

#[test]
fn pitfall_v3_numbers_are_always_number_values() {
    for sample in [5_i64.to_value(), 5.0_f64.to_value(), 5_u8.to_value()] {
        assert_eq!(sample, Ok(value::number(5.0)));
    }
}

#[test]
fn pitfall_v7_only_utf8_bytes_fit_a_value() {
    assert_eq!(Bytes::from_static(b"abc").to_value(), Ok(value::text("abc")));
    assert!(Bytes::from_static(b"\xff").to_value().is_err());
}

#[test]
fn nan_and_infinity_become_null() {
    assert_eq!(f64::NAN.to_value(), Ok(value::null()));
    assert_eq!(f64::INFINITY.to_value(), Ok(value::null()));
}

#[test]
fn durations_print_as_upstream_prints_them() {
    for (micros, text) in [
        (0, "PT0S"),
        (5_000_000, "PT5S"),
        (86_403_000_005, "P1DT3.000005S"),
        (86_400_000_000, "P1D"),
        (5_400_000_000, "PT1H30M"),
    ] {
        let delay = Delay::from(std::time::Duration::from_micros(micros));
        assert_eq!(delay.to_string(), text);
        assert_eq!(text.parse::<Delay>().unwrap(), delay);
    }
    for (text, millis) in
        [("500ms", 500), ("2s", 2000), ("1h 30m", 5_400_000), ("0.25", 250), ("1m30s", 90_000)]
    {
        assert_eq!(text.parse::<Delay>().unwrap().get().as_millis(), millis, "{text}");
    }
    assert!("-2s".parse::<Delay>().is_err());
    assert!("soon".parse::<Delay>().is_err());
}

#[test]
fn a_field_that_claims_more_than_its_message_is_an_error() {
    let mut bytes = Bytes::from_static(&[0x7f, 1, 2]);
    assert!(take_delimited(WireType::LengthDelimited, &mut bytes).is_err());
}
