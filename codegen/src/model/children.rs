//! `#[children]`.

use proc_macro2::{Ident, TokenStream};
use syn::{Attribute, Fields, ItemStruct, Type, Visibility};

use super::{Root, not_generic, plain};
use crate::{
    diagnostics::Errors,
    parse::{Attributes, Keys},
};

/// Keys of `#[child(…)]`.
const KEYS: &[&str] = &["also", "rest", "made", "name"];

/// The children of a driver.
pub(crate) struct Children {
    /// How the runtime is reached.
    pub(crate) root: Root,
    /// Attributes that stay.
    pub(crate) attrs: Vec<Attribute>,
    /// Visibility.
    pub(crate) vis: Visibility,
    /// Name.
    pub(crate) ident: Ident,
    /// In declaration order.
    pub(crate) list: Vec<Child>,
}

/// One child.
pub(crate) struct Child {
    /// Attributes that stay.
    pub(crate) attrs: Vec<Attribute>,
    /// Visibility.
    pub(crate) vis: Visibility,
    /// Name in Rust.
    pub(crate) ident: Ident,
    /// Name in the exporter file.
    pub(crate) name: String,
    /// Further names.
    pub(crate) also: Vec<String>,
    /// Where it comes from.
    pub(crate) form: Form,
    /// Type.
    pub(crate) ty: Type,
    /// Documentation as data.
    pub(crate) doc: String,
}

/// Where a child comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The exporter file; the type says whether it may be absent.
    Configured,
    /// The driver makes it.
    Made,
    /// Whatever else there is.
    Rest,
}

impl Children {
    /// Reads the attribute and the struct.
    pub(crate) fn read(attribute: TokenStream, item: TokenStream, errors: &mut Errors) -> Option<Self> {
        let Ok(item) = syn::parse2::<ItemStruct>(item.clone()) else {
            errors.at(item, "put `#[children]` on a struct: each field is a child");
            return None;
        };
        let mut keys = Keys::read(attribute, "`#[children]`", &["crate"], errors);
        let root = Root::read(&mut keys, errors);
        let ItemStruct { attrs, vis, ident, generics, fields, .. } = item;
        let Fields::Named(fields) = fields else {
            errors.at(&ident, "children have names: write `struct … { power: PowerClient }`");
            return None;
        };
        let usable = not_generic("a set of children", &generics, errors);
        let mut children: Vec<Child> = Vec::new();
        let mut rest: Option<Ident> = None;
        for mut field in fields.named {
            let Some(name) = field.ident.clone() else { continue };
            let mut ours = Attributes::new(&mut field.attrs);
            let keys = ours.keys("child", "`#[child(…)]`", KEYS, errors);
            let doc = ours.doc();
            let mut child = Child {
                attrs: field.attrs,
                vis: field.vis,
                name: plain(&name),
                ident: name.clone(),
                also: Vec::new(),
                form: Form::Configured,
                ty: field.ty,
                doc,
            };
            if let Some(mut keys) = keys {
                child.read(&mut keys, errors);
            }
            if child.form == Form::Rest {
                if let Some(earlier) = rest.replace(name.clone()) {
                    errors.at(&name, format!("`{earlier}` already takes all other children"));
                }
            } else {
                let taken = children.iter().filter(|child| child.form != Form::Rest).find(|earlier| {
                    let names: Vec<_> = earlier.names().collect();
                    child.names().any(|name| names.contains(&name))
                });
                if let Some(earlier) = taken {
                    errors.at(
                        &name,
                        format!(
                            "this child shares a name with `{}`: each name belongs to one",
                            earlier.ident
                        ),
                    );
                }
            }
            children.push(child);
        }
        usable.then_some(Self { root, attrs, vis, ident, list: children })
    }
}

impl Child {
    fn read(&mut self, keys: &mut Keys, errors: &mut Errors) {
        self.also = keys.texts("also", errors).iter().map(syn::LitStr::value).collect();
        if let Some(name) = keys.text("name", errors) {
            self.name = name.value();
        }
        let (rest, made) = (keys.flag("rest", errors), keys.flag("made", errors));
        if rest && (made || !self.also.is_empty()) {
            errors.at(&self.ident, "`rest` takes all other children, so it has no names and is not made");
        }
        self.form = match (rest, made) {
            (true, _) => Form::Rest,
            (_, true) => Form::Made,
            _ => Form::Configured,
        };
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.also.iter().map(String::as_str))
    }
}
