//! The JSON inside the messages, as Go reads and writes it: member names of structures in any case, those of maps as they
//! are, byte strings in base64, absent ones `null`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::SkrError;

/// The agent that a message must name.
const AGENT: &str = "skr";
const AGENT_PARAMETER: &str = "attestation-agent";

/// What `WrapKey` is asked for.
pub(super) struct Wrapping {
    /// Which key: a path below the key directory.
    pub(super) key_path: String,
    /// What to wrap.
    pub(super) clear: Zeroizing<Vec<u8>>,
}

/// What `UnWrapKey` is asked for.
pub(super) struct Unwrapping {
    pub(super) annotation: Annotation,
}

/// A wrapped key and where the wrapping key is released.
#[derive(Debug, PartialEq)]
pub(super) struct Annotation {
    pub(super) kid: String,
    pub(super) wrapped_data: Vec<u8>,
    pub(super) kms_endpoint: String,
    pub(super) attester_endpoint: String,
}

impl Wrapping {
    pub(super) fn read(input: &[u8]) -> Result<Self, SkrError> {
        let params = required(object(input)?.get("keywrapparams")?, "keywrapparams")?;
        let params = object(params.get().as_bytes())?;
        let agent = agent_parameter(&params, "ec", "encryption")?;
        let (name, key_path) = agent.split_once(':').ok_or_else(|| bad("no key id"))?;
        check_agent(name)?;
        // Upstream reads up to the next colon.
        let key_path = key_path.split(':').next().unwrap_or_default();
        let clear = Zeroizing::new(params.bytes("optsdata")?);
        // An absent key would be wrapped as an empty one, and what it should protect be lost.
        if clear.is_empty() {
            return Err(bad("optsdata is missing"));
        }
        Ok(Self {
            key_path: key_path.to_owned(),
            clear,
        })
    }
}

impl Unwrapping {
    pub(super) fn read(input: &[u8]) -> Result<Self, SkrError> {
        let params = required(object(input)?.get("keyunwrapparams")?, "keyunwrapparams")?;
        let params = object(params.get().as_bytes())?;
        check_agent(&agent_parameter(&params, "dc", "decryption")?)?;
        let annotation = params.bytes("annotation")?;
        Ok(Self {
            annotation: Annotation::read(&annotation)?,
        })
    }
}

impl Annotation {
    fn read(json: &[u8]) -> Result<Self, SkrError> {
        let members = object(json)?;
        Ok(Self {
            kid: members.text("kid")?,
            wrapped_data: members.bytes("wrapped_data")?,
            kms_endpoint: members.text("kms_endpoint")?,
            attester_endpoint: members.text("attester_endpoint")?,
        })
    }

    /// The JSON of a fresh annotation, in upstream's order of members.
    pub(super) fn write(&self, wrap_type: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Written<'a> {
            kid: &'a str,
            wrapped_data: String,
            wrap_type: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            kms_endpoint: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            attester_endpoint: &'a str,
        }
        json(&Written {
            kid: &self.kid,
            wrapped_data: STANDARD.encode(&self.wrapped_data),
            wrap_type,
            kms_endpoint: &self.kms_endpoint,
            attester_endpoint: &self.attester_endpoint,
        })
    }
}

/// The answer of `WrapKey`.
pub(super) fn wrapped(annotation: &[u8]) -> Vec<u8> {
    output(Some(annotation), None)
}

/// The answer of `UnWrapKey`.
pub(super) fn unwrapped(clear: &[u8]) -> Vec<u8> {
    output(None, Some(clear))
}

/// Both members always, whichever method was called.
fn output(annotation: Option<&[u8]>, clear: Option<&[u8]>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Output<'a> {
        keywrapresults: Annotated<'a>,
        keyunwrapresults: Opened<'a>,
    }
    #[derive(Serialize)]
    struct Annotated<'a> {
        annotation: Option<&'a str>,
    }
    #[derive(Serialize)]
    struct Opened<'a> {
        optsdata: Option<&'a str>,
    }
    let encode = |bytes: &[u8]| Zeroizing::new(STANDARD.encode(bytes));
    let (annotation, clear) = (annotation.map(encode), clear.map(encode));
    json(&Output {
        keywrapresults: Annotated {
            annotation: annotation.as_deref().map(String::as_str),
        },
        keyunwrapresults: Opened {
            optsdata: clear.as_deref().map(String::as_str),
        },
    })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Text and options of text are always JSON.
    serde_json::to_vec(value).unwrap_or_default()
}

/// `Parameters` of one of the two configurations: the first value of the agent's parameter, decoded.
fn agent_parameter(
    params: &Members<'_>,
    config: &str,
    purpose: &'static str,
) -> Result<String, SkrError> {
    let missing = || bad(format!("no {AGENT_PARAMETER} in the {purpose} parameters"));
    let config = params.get(config)?.ok_or_else(missing)?;
    let parameters = object(config.get().as_bytes())?
        .get("parameters")?
        .ok_or_else(missing)?;
    // A map: its keys are data, so their case counts.
    let parameters: Option<std::collections::BTreeMap<String, Option<Vec<String>>>> =
        serde_json::from_str(parameters.get()).map_err(|error| bad(error.to_string()))?;
    let values = parameters.unwrap_or_default().remove(AGENT_PARAMETER);
    let value = values
        .flatten()
        .and_then(|values| values.into_iter().next())
        .ok_or_else(missing)?;
    let text = STANDARD
        .decode(value)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| bad(format!("{AGENT_PARAMETER} is not base64 of text")))
}

fn check_agent(name: &str) -> Result<(), SkrError> {
    if name.eq_ignore_ascii_case(AGENT) {
        return Ok(());
    }
    let name: String = name.chars().take(100).collect();
    Err(bad(format!(
        "attestation agent {name:?}, this is {AGENT:?}"
    )))
}

/// The members of an object, still in the text they came in: nothing secret is copied by looking for one.
struct Members<'a>(Vec<(String, &'a RawValue)>);

fn object(json: &[u8]) -> Result<Members<'_>, SkrError> {
    struct Pairs<'a>(Vec<(String, &'a RawValue)>);
    impl<'de: 'a, 'a> Deserialize<'de> for Pairs<'a> {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Visitor<'a>(std::marker::PhantomData<&'a ()>);
            impl<'de: 'a, 'a> serde::de::Visitor<'de> for Visitor<'a> {
                type Value = Pairs<'a>;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }

                fn visit_unit<E>(self) -> Result<Self::Value, E> {
                    Ok(Pairs(Vec::new()))
                }

                fn visit_map<M: serde::de::MapAccess<'de>>(
                    self,
                    mut map: M,
                ) -> Result<Self::Value, M::Error> {
                    let mut pairs = Vec::new();
                    while let Some(pair) = map.next_entry()? {
                        pairs.push(pair);
                    }
                    Ok(Pairs(pairs))
                }
            }
            from.deserialize_any(Visitor(std::marker::PhantomData))
        }
    }
    // The error of serde_json names a place, never a value.
    let pairs: Pairs<'_> =
        serde_json::from_slice(json).map_err(|error| bad(format!("not JSON: {error}")))?;
    Ok(Members(pairs.0))
}

impl<'a> Members<'a> {
    /// The member of this name in any case; none if it is absent or `null`. Go takes the last of several, which a reader
    /// of the same text may see otherwise, so several are refused.
    fn get(&self, name: &str) -> Result<Option<&'a RawValue>, SkrError> {
        let mut found = self
            .0
            .iter()
            .filter(|(member, _)| member.eq_ignore_ascii_case(name));
        let first = found.next();
        if found.next().is_some() {
            return Err(bad(format!("{name} is there more than once")));
        }
        let value = first.map(|(_, value)| *value);
        Ok(value.filter(|value| value.get() != "null"))
    }

    fn text(&self, name: &'static str) -> Result<String, SkrError> {
        let value = self.get(name)?;
        let text = value
            .map(|value| serde_json::from_str(value.get()))
            .transpose();
        // What the value is may be a secret.
        Ok(text
            .map_err(|_| bad(format!("{name} is not text")))?
            .unwrap_or_default())
    }

    fn bytes(&self, name: &'static str) -> Result<Vec<u8>, SkrError> {
        let text = Zeroizing::new(self.text(name)?);
        STANDARD
            .decode(text.as_str())
            .map_err(|_| bad(format!("{name} is not base64")))
    }
}

fn required<'a>(value: Option<&'a RawValue>, name: &str) -> Result<&'a RawValue, SkrError> {
    value.ok_or_else(|| bad(format!("{name} is missing")))
}

fn bad(reason: impl Into<String>) -> SkrError {
    SkrError::KeyProvider {
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sidecar_http::Coded;

    use super::*;

    fn b64(text: &str) -> String {
        STANDARD.encode(text)
    }

    fn wrap_input(agent: &str) -> Value {
        json!({"op": "keywrap", "keywrapparams": {
            "ec": {"Parameters": {AGENT_PARAMETER: [b64(agent)]}, "Dc": {"Parameters": null}},
            "optsdata": b64("layer key"),
        }, "keyunwrapparams": {"dc": {"Parameters": null}, "annotation": null}})
    }

    fn reason(outcome: Result<impl Sized, SkrError>) -> String {
        let error = outcome.err().unwrap();
        assert_eq!(error.code(), "CR-SKR-0083");
        error.to_string()
    }

    #[test]
    fn nothing_to_wrap_is_refused() {
        let mut input = wrap_input("skr:app");
        assert!(Wrapping::read(input.to_string().as_bytes()).is_ok());
        for nothing in [json!(""), Value::Null] {
            input["keywrapparams"]["optsdata"] = nothing;
            let refused = reason(Wrapping::read(input.to_string().as_bytes()));
            assert!(refused.contains("optsdata is missing"), "{refused}");
        }
        let params = input["keywrapparams"].as_object_mut().unwrap();
        params.remove("optsdata").unwrap();
        let refused = reason(Wrapping::read(input.to_string().as_bytes()));
        assert!(refused.contains("optsdata is missing"), "{refused}");
    }

    #[test]
    fn member_names_are_read_in_any_case_and_keys_of_maps_as_they_are() {
        for (from, to) in [
            ("keywrapparams", "KeyWrapParams"),
            ("optsdata", "OptsData"),
            ("Parameters", "parameters"),
            ("\"ec\"", "\"EC\""),
        ] {
            let text = wrap_input("SKR:keys/app:ignored")
                .to_string()
                .replace(from, to);
            let wrapping = Wrapping::read(text.as_bytes()).unwrap();
            assert_eq!(wrapping.key_path, "keys/app", "{text}");
            assert_eq!(*wrapping.clear, b"layer key");
        }
        let upper = wrap_input("skr:k")
            .to_string()
            .replace(AGENT_PARAMETER, "Attestation-Agent");
        assert!(reason(Wrapping::read(upper.as_bytes())).contains("no attestation-agent"));
    }

    #[test]
    fn what_is_not_for_this_agent_or_not_readable_is_named() {
        let read = |value: &Value| Wrapping::read(value.to_string().as_bytes());
        assert!(reason(read(&wrap_input("other:k"))).contains("\"other\""));
        assert!(reason(read(&wrap_input("skr"))).contains("no key id"));
        assert!(reason(Wrapping::read(b"[1]")).contains("not JSON"));
        assert!(reason(Wrapping::read(b"{}")).contains("keywrapparams"));
        assert!(reason(Unwrapping::read(b"null")).contains("keyunwrapparams"));
        let mut input = wrap_input("skr:k");
        input["keywrapparams"]["optsdata"] = json!("%layer key%");
        let text = reason(read(&input));
        assert!(
            text.contains("optsdata") && !text.contains("layer"),
            "{text}"
        );
        let twice = r#"{"keywrapparams": {}, "KeyWrapParams": {}}"#;
        assert!(reason(Wrapping::read(twice.as_bytes())).contains("more than once"));
    }

    #[test]
    fn an_annotation_goes_out_as_upstream_writes_it_and_comes_back() {
        let annotation = Annotation {
            kid: "app".to_owned(),
            wrapped_data: vec![0xfb, 0xff],
            kms_endpoint: "litware.managedhsm.azure.net".to_owned(),
            attester_endpoint: "maa.example".to_owned(),
        };
        let written = annotation.write("rsa_3072");
        assert_eq!(
            String::from_utf8(written.clone()).unwrap(),
            r#"{"kid":"app","wrapped_data":"+/8=","wrap_type":"rsa_3072","kms_endpoint":"litware.managedhsm.azure.net","attester_endpoint":"maa.example"}"#
        );
        let input = json!({"keyunwrapparams": {
            "dc": {"Parameters": {AGENT_PARAMETER: [b64("Skr")]}},
            "annotation": STANDARD.encode(&written),
        }});
        let read = Unwrapping::read(input.to_string().as_bytes()).unwrap();
        assert_eq!(read.annotation, annotation);
        let camel = r#"{"Kid":"app","WrappedData":"","wrapped_data":"+/8=","Kms_Endpoint":"litware.managedhsm.azure.net","ATTESTER_ENDPOINT":"maa.example"}"#;
        assert_eq!(Annotation::read(camel.as_bytes()).unwrap(), annotation);
    }

    #[test]
    fn answers_have_both_members_always() {
        assert_eq!(
            wrapped(b"{}"),
            br#"{"keywrapresults":{"annotation":"e30="},"keyunwrapresults":{"optsdata":null}}"#
        );
        assert_eq!(
            unwrapped(b"key"),
            br#"{"keywrapresults":{"annotation":null},"keyunwrapresults":{"optsdata":"a2V5"}}"#
        );
    }
}
