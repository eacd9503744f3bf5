//! `#[message]`: the two wire languages, serde and JSON Schema.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};

use super::{ask, index, number, texts};
use crate::model::{Content, Default, Message, MessageField, Variant, plain};

/// The type again, and what it is on the wire.
pub(crate) fn message(message: &Message) -> TokenStream {
    let rt = message.root.rt();
    let Message { attrs, vis, ident, derives, content, .. } = message;
    let derives = derives.iter().map(|name| Ident::new(name, Span::call_site()));
    let derives = quote!(#[derive(#(#derives),*)]);
    let (body, wire) = match content {
        Content::Fields { fields, reserved_tags, reserved_names, list } => {
            let printed = fields
                .iter()
                .map(|MessageField { attrs, vis, ident, ty, .. }| quote!(#(#attrs)* #vis #ident: #ty));
            let reserved_names = texts(reserved_names);
            let reserved_tags = reserved_tags.iter().map(|tag| number(*tag));
            let rest = quote!(reserved: (&[#(#reserved_tags),*], #reserved_names), list: #list,);
            (quote!(#vis struct #ident { #(#printed),* }), structure(message, fields, &rest))
        }
        Content::Variants(variants) => {
            let printed = variants.iter().map(|Variant { attrs, ident, .. }| quote!(#(#attrs)* #ident));
            (quote!(#vis enum #ident { #(#printed),* }), enumeration(message, variants))
        }
    };
    let name = plain(ident);
    quote! {
        #derives
        #(#attrs)*
        #body

        #wire

        #[automatically_derived]
        impl #rt::serde::Serialize for #ident {
            fn serialize<S: #rt::serde::Serializer>(&self, serializer: S) -> #rt::Result<S::Ok, S::Error> {
                #rt::serialize(self, serializer)
            }
        }

        #[automatically_derived]
        impl<'de> #rt::serde::Deserialize<'de> for #ident {
            fn deserialize<D: #rt::serde::Deserializer<'de>>(deserializer: D) -> #rt::Result<Self, D::Error> {
                #rt::deserialize(deserializer)
            }
        }

        #[automatically_derived]
        impl #rt::schemars::JsonSchema for #ident {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> #rt::Cow<'static, str> {
                #rt::Cow::Borrowed(#name)
            }

            fn json_schema(generator: &mut #rt::schemars::SchemaGenerator) -> #rt::schemars::Schema {
                #rt::schema(<Self as #rt::Wire>::TYPE, generator)
            }
        }
    }
}

fn structure(message: &Message, fields: &[MessageField], rest: &TokenStream) -> TokenStream {
    let rt = message.root.rt();
    let Message { ident, doc, .. } = message;
    let name = plain(ident);
    let wires: Vec<_> = fields.iter().map(|field| ask(&field.ty, &quote!(#rt::Wire))).collect();
    let names: Vec<_> = fields.iter().map(|field| &field.ident).collect();
    let indices: Vec<_> = (0..fields.len()).map(index).collect();
    let defaults: Vec<_> =
        fields.iter().map(|field| field.default.as_ref().map(|_| default_name(&field.ident))).collect();
    let functions = fields.iter().filter_map(|field| default_function(message, field));
    let specs = fields.iter().zip(&wires).zip(&defaults).map(|((field, wire), default)| {
        let MessageField { name, doc, unit, .. } = field;
        let tag = number(field.tag);
        let default =
            default.as_ref().map(|function| quote!(.or(|| #rt::default_value(&#ident::#function()))));
        let unit = (!unit.is_empty()).then(|| quote!(.unit(#unit)));
        quote!(#rt::field(#name, #tag, #wire::TYPE, #doc) #default #unit)
    });
    let zeros = fields.iter().zip(&wires).zip(&defaults).map(|((field, wire), default)| {
        let name = &field.ident;
        let value =
            default.as_ref().map_or_else(|| quote!(#wire::zero()), |function| quote!(Self::#function()));
        quote!(#name: #value)
    });
    let encodes = fields.iter().zip(&wires).zip(&defaults).map(|((field, wire), default)| {
        let (name, tag) = (&field.ident, number(field.tag));
        // A field with a default has presence: its zero value must travel.
        let encode = if default.is_some() { quote!(encode) } else { quote!(encode_field) };
        // In the order of their numbers, as protobuf's own encoders write them.
        (field.tag, quote!(#wire::#encode(&self.#name, #tag, buffer);))
    });
    let taken = wires.iter().zip(&indices).zip(&defaults).map(|((wire, index), default)| {
        let plain = || quote!(#wire::take(&mut fields, #index)?);
        let or = |function| quote!(#wire::take_or(&mut fields, #index, #rt::Some(Self::#function))?);
        default.as_ref().map_or_else(plain, or)
    });
    let mut by_tag: Vec<_> = encodes.collect();
    by_tag.sort_by_key(|(tag, _)| *tag);
    let encodes = by_tag.into_iter().map(|(_, encode)| encode);
    let used = |name: &str| {
        if fields.is_empty() { quote!(_) } else { Ident::new(name, Span::call_site()).to_token_stream() }
    };
    let (buffer, depth, wire_type, part) = (used("buffer"), used("depth"), used("wire_type"), used("part"));
    let fields_name = if fields.is_empty() { quote!(fields) } else { quote!(mut fields) };
    quote! {
        impl #ident {
            #(#functions)*

            #[doc(hidden)]
            fn __spec() -> &'static #rt::MessageSpec {
                static SPEC: #rt::MessageSpec =
                    #rt::MessageSpec { name: #name, fields: &[#(#specs),*], #rest doc: #doc };
                &SPEC
            }
        }

        #[automatically_derived]
        impl #rt::Wire for #ident {
            const TYPE: #rt::Type = #rt::Type::Message(Self::__spec);
            const ZERO_WHEN_ABSENT: bool = false;

            fn zero() -> Self {
                Self { #(#zeros),* }
            }

            fn encode(&self, tag: u32, buffer: &mut #rt::Vec<u8>) {
                #rt::encode_message(self, tag, buffer);
            }

            fn encode_body(&self, #buffer: &mut #rt::Vec<u8>) {
                #(#encodes)*
            }

            fn merge(
                &mut self,
                wire_type: #rt::WireType,
                buffer: &mut #rt::Bytes,
                depth: #rt::Depth,
            ) -> #rt::Result<(), #rt::WireError> {
                self.merge_body(#rt::take_delimited(wire_type, buffer)?, depth.deeper()?)
            }

            fn merge_body(&mut self, body: #rt::Bytes, #depth: #rt::Depth) -> #rt::Result<(), #rt::WireError> {
                #rt::merge_fields(Self::__spec(), body, |index, #wire_type, #part| match index {
                    #(#indices => #wires::merge(&mut self.#names, wire_type, part, depth),)*
                    _ => #rt::Ok(()),
                })
            }

            fn to_value(&self) -> #rt::Result<#rt::Value, #rt::WireError> {
                #rt::message_value(Self::__spec(), [#(#wires::to_value(&self.#names)),*])
            }

            fn from_value(value: #rt::Value, reading: #rt::Reading) -> #rt::Result<Self, #rt::WireError> {
                let #fields_name = #rt::FieldValues::new(Self::__spec(), value, reading)?;
                let message = Self { #(#names: #taken),* };
                fields.finish()?;
                #rt::Ok(message)
            }
        }
    }
}

fn default_name(field: &Ident) -> Ident {
    Ident::new(&format!("__default_{}", plain(field)), field.span())
}

fn default_function(message: &Message, field: &MessageField) -> Option<TokenStream> {
    let rt = message.root.rt();
    let name = default_name(&field.ident);
    let ty = &field.ty;
    let body = match field.default.as_ref()? {
        Default::Value(value) => quote!(#value),
        Default::Text(text) => {
            let place = format!("`{}` of {}", field.name, message.ident);
            quote_spanned!(text.span()=> #rt::text(#text, #place))
        }
    };
    Some(quote! {
        #[doc(hidden)]
        fn #name() -> #ty {
            #body
        }
    })
}

fn enumeration(message: &Message, variants: &[Variant]) -> TokenStream {
    let rt = message.root.rt();
    let Message { ident, doc, .. } = message;
    let name = plain(ident);
    let names: Vec<_> = variants.iter().map(|variant| &variant.ident).collect();
    let indices = (0..variants.len()).map(index);
    let values = variants.iter().map(|variant| {
        let Variant { text, doc, .. } = variant;
        let number = number(variant.number);
        quote!((#text, #number, #doc))
    });
    let first = names.first();
    quote! {
        #[automatically_derived]
        impl #rt::Enumeration for #ident {
            const SPEC: &'static #rt::EnumSpec =
                &#rt::EnumSpec { name: #name, values: &[#(#values),*], doc: #doc };
            const ALL: &'static [Self] = &[#(Self::#names),*];

            fn index(self) -> usize {
                match self {
                    #(Self::#names => #indices),*
                }
            }
        }

        #[automatically_derived]
        impl #rt::Wire for #ident {
            const TYPE: #rt::Type = #rt::Type::Enum(|| <Self as #rt::Enumeration>::SPEC);
            const ZERO_WHEN_ABSENT: bool = false;
            const PACKED: #rt::Option<#rt::WireType> = #rt::Some(#rt::WireType::Varint);

            fn zero() -> Self {
                Self::#first
            }

            fn encode(&self, tag: u32, buffer: &mut #rt::Vec<u8>) {
                #rt::enumeration::encode(*self, tag, buffer);
            }

            fn encode_packed(&self, buffer: &mut #rt::Vec<u8>) {
                #rt::enumeration::encode_packed(*self, buffer);
            }

            fn merge(
                &mut self,
                wire_type: #rt::WireType,
                buffer: &mut #rt::Bytes,
                _: #rt::Depth,
            ) -> #rt::Result<(), #rt::WireError> {
                #rt::enumeration::merge(self, wire_type, buffer)
            }

            fn to_value(&self) -> #rt::Result<#rt::Value, #rt::WireError> {
                #rt::Ok(#rt::enumeration::to_value(*self))
            }

            fn from_value(value: #rt::Value, _: #rt::Reading) -> #rt::Result<Self, #rt::WireError> {
                #rt::enumeration::from_value(&value)
            }
        }
    }
}
