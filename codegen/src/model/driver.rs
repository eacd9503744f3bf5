//! `#[driver]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens as _;
use syn::{Expr, Item, Path, Type};

use super::{Root, kebab, not_generic, plain};
use crate::{
    diagnostics::Errors,
    parse::{Keys, doc_of, text},
};

/// Keys of `#[driver(…)]`.
const KEYS: &[&str] =
    &["type", "provides", "config", "children", "open", "aliases", "client", "labels", "crate"];

/// A driver.
pub(crate) struct Driver {
    /// How the runtime is reached.
    pub(crate) root: Root,
    /// The struct, which stays as it is.
    pub(crate) item: TokenStream,
    /// Its name.
    pub(crate) ident: Ident,
    /// Documentation as data.
    pub(crate) doc: String,
    /// The name in `type:`.
    pub(crate) type_name: String,
    /// Further names.
    pub(crate) aliases: Vec<String>,
    /// The interfaces' traits.
    pub(crate) provides: Vec<Path>,
    /// The configuration's type.
    pub(crate) config: Option<Type>,
    /// The children's type.
    pub(crate) children: Option<Type>,
    /// How it is opened, where the macro writes that.
    pub(crate) opening: Option<Opening>,
    /// Class path of the Python client.
    pub(crate) client: Option<String>,
    /// Labels for the report.
    pub(crate) labels: Vec<(String, String)>,
    /// Where the attribute stands.
    pub(crate) place: Span,
}

/// `open = …`.
pub(crate) enum Opening {
    /// By this function.
    Path(syn::ExprPath),
    /// Only by these drivers.
    Made(Vec<String>),
}

impl Driver {
    /// Reads the attribute and the struct.
    pub(crate) fn read(attribute: TokenStream, item: TokenStream, errors: &mut Errors) -> Option<Self> {
        let structure = match syn::parse2::<Item>(item.clone()) {
            Ok(Item::Struct(structure)) => structure,
            Ok(Item::Impl(block)) => {
                errors.at(
                    block.impl_token,
                    "put `#[driver]` on the struct: the interfaces it provides are ordinary `impl` blocks",
                );
                return None;
            }
            Ok(Item::Enum(choice)) => {
                errors.at(choice.enum_token, "put `#[driver]` on a struct: an enum can be one of its fields");
                return None;
            }
            _ => {
                errors.at(item, "put `#[driver]` on the struct that holds the driver's state");
                return None;
            }
        };
        if !not_generic("a driver", &structure.generics, errors) {
            return None;
        }
        let mut keys = Keys::read(attribute, "`#[driver(…)]`", KEYS, errors);
        let root = Root::read(&mut keys, errors);
        let before = errors.len();
        let (place, complete) = (keys.place(), keys.complete());
        let guess = kebab(&plain(&structure.ident));
        let type_name = keys.text("type", errors);
        if complete && type_name.is_none() && errors.len() == before {
            errors.here(place, format!("a driver needs `type`: write `#[driver(type = \"{guess}\", provides(…))]`, the name that people write in the exporter file"));
        }
        let opening = opening(&mut keys, errors);
        Some(Self {
            root,
            doc: doc_of(&structure.attrs),
            ident: structure.ident,
            item,
            type_name: type_name.map_or(guess, |text| text.value()),
            aliases: keys.texts("aliases", errors).iter().map(syn::LitStr::value).collect(),
            provides: keys.paths("provides", "Power, Serial", errors),
            config: keys.ty("config", errors),
            children: keys.ty("children", errors),
            opening,
            client: keys.text("client", errors).map(|text| text.value()),
            labels: labels(&mut keys, errors),
            place,
        })
    }
}

fn opening(keys: &mut Keys, errors: &mut Errors) -> Option<Opening> {
    match keys.value("open", "SomeDriver::new", errors)? {
        Expr::Path(path) if path.path.is_ident("made") => Some(Opening::Made(Vec::new())),
        Expr::Path(path) => Some(Opening::Path(path)),
        Expr::Call(call) if call.func.to_token_stream().to_string() == "made" => {
            let makers = call.args.iter().filter_map(|maker| text(maker, "made", errors));
            Some(Opening::Made(makers.map(|maker| maker.value()).collect()))
        }
        other => {
            errors.at(
                other,
                "`open` is a function that makes the driver (`open = SomeDriver::new`), or `made(\"parent\")`; anything longer belongs into `impl Driver`",
            );
            None
        }
    }
}

fn labels(keys: &mut Keys, errors: &mut Errors) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    for item in keys.list("labels", "\"key\" = \"value\"", errors) {
        match item {
            Expr::Assign(pair) => {
                if let (Some(key), Some(value)) =
                    (text(&pair.left, "labels", errors), text(&pair.right, "labels", errors))
                {
                    labels.push((key.value(), value.value()));
                }
            }
            other => errors.at(other, "write `labels(\"key\" = \"value\")`"),
        }
    }
    labels
}
