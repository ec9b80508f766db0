//! Signature fields (ISO 32000-2, 12.7.5.5): one is found or made, shown where asked, and registered in the form.

use std::collections::HashSet;

use lopdf::{Dictionary, Document, Object, ObjectId, decode_text_string};

use super::document::Update;
use super::geometry::{Placed, View};
use super::{Error, Parameters, appearance, text};

/// The bound on a form's fields, which ends a circle too.
const MOST_FIELDS: usize = 100_000;
/// The bound on the octets of a full name, so that a deep tree of fields takes no more memory than its file.
const LONGEST_NAME: usize = 4096;
/// Print and Locked (ISO 32000-2, table 167).
const WIDGET_FLAGS: i64 = 4 + 128;
/// SignaturesExist and AppendOnly (ISO 32000-2, table 225).
const SIGNATURE_FLAGS: i64 = 1 + 2;

/// Makes the field ready and gives the number that its signature dictionary shall have.
pub(super) fn attach(
    update: &mut Update,
    parameters: &Parameters,
    lines: &[String],
) -> Result<ObjectId, Error> {
    let fields = fields(update.document());
    if parameters.certification.is_some()
        && fields
            .iter()
            .any(|field| field.signed && field.kind == b"Sig")
    {
        return Err(Error::NotFirst);
    }
    match choose(&fields, parameters)? {
        Choice::Existing(field) => fill(update, field, lines),
        Choice::New(name) => create(update, &name, parameters, lines),
    }
}

/// A field of the form.
struct Field {
    id: ObjectId,
    /// The full name, with those of its ancestors.
    name: String,
    kind: Vec<u8>,
    signed: bool,
    /// It has a lock or seed values, which the signature would have to obey.
    constrained: bool,
}

enum Choice {
    Existing(ObjectId),
    New(String),
}

fn choose(fields: &[Field], parameters: &Parameters) -> Result<Choice, Error> {
    let Some(name) = &parameters.field else {
        let usable = |field: &&Field| field.kind == b"Sig" && !field.signed && !field.constrained;
        if parameters.placement.is_none()
            && let Some(field) = fields.iter().find(usable)
        {
            return Ok(Choice::Existing(field.id));
        }
        let taken: HashSet<&str> = fields
            .iter()
            .filter_map(|field| field.name.split('.').next())
            .collect();
        let free = (1..)
            .map(|number| format!("Signature{number}"))
            .find(|name| !taken.contains(name.as_str()));
        return Ok(Choice::New(free.unwrap_or_default()));
    };
    let refused = |reason| {
        Err(Error::Field {
            name: name.clone(),
            reason,
        })
    };
    match fields.iter().find(|field| field.name == *name) {
        Some(field) if field.kind != b"Sig" => refused("is not a signature field"),
        Some(field) if field.signed => refused("is signed already"),
        Some(field) if field.constrained => {
            refused("has a lock or seed values, which are not supported")
        }
        Some(field) if parameters.placement.is_none() => Ok(Choice::Existing(field.id)),
        Some(_) => refused("has a place already"),
        None if name.is_empty() || name.contains('.') => {
            refused("is no valid name for a new field")
        }
        None => Ok(Choice::New(name.clone())),
    }
}

/// Every field of the form, ancestors included.
fn fields(document: &Document) -> Vec<Field> {
    let form = document
        .catalog()
        .and_then(|catalog| catalog.get_deref(b"AcroForm", document))
        .and_then(Object::as_dict);
    let roots = form
        .and_then(|form| form.get_deref(b"Fields", document))
        .and_then(Object::as_array);
    let mut queue: Vec<(ObjectId, String, Vec<u8>)> = references(roots.map_or(&[], Vec::as_slice))
        .map(|id| (id, String::new(), Vec::new()))
        .rev()
        .collect();
    let mut seen = HashSet::new();
    let mut fields = Vec::new();
    while let Some((id, parent, inherited)) = queue.pop() {
        if fields.len() >= MOST_FIELDS || parent.len() > LONGEST_NAME || !seen.insert(id) {
            continue;
        }
        let Ok(field) = document.get_dictionary(id) else {
            continue;
        };
        // A kid without a name is a widget of its parent, not a field.
        let Ok(partial) = field.get_deref(b"T", document).and_then(decode_text_string) else {
            continue;
        };
        let name = if parent.is_empty() {
            partial
        } else {
            format!("{parent}.{partial}")
        };
        let kind = field
            .get_deref(b"FT", document)
            .and_then(Object::as_name)
            .map_or(inherited, <[u8]>::to_vec);
        let kids = field
            .get_deref(b"Kids", document)
            .and_then(Object::as_array);
        let kids = references(kids.map_or(&[], Vec::as_slice));
        queue.extend(kids.map(|kid| (kid, name.clone(), kind.clone())).rev());
        let signed = field
            .get_deref(b"V", document)
            .is_ok_and(|value| !value.is_null());
        let constrained = field.has(b"Lock") || field.has(b"SV");
        fields.push(Field {
            id,
            name,
            kind,
            signed,
            constrained,
        });
    }
    fields
}

fn references(objects: &[Object]) -> impl DoubleEndedIterator<Item = ObjectId> + '_ {
    objects
        .iter()
        .filter_map(|object| object.as_reference().ok())
}

/// Signs in a field that is there. It keeps its place; where it has an extent, it is drawn.
fn fill(update: &mut Update, field: ObjectId, lines: &[String]) -> Result<ObjectId, Error> {
    let document = update.document();
    let widget = document.get_dictionary(field)?;
    let page = widget
        .get_deref(b"P", document)
        .and_then(Object::as_dict)
        .ok();
    let view = View::of(page.unwrap_or(&Dictionary::new()), document);
    let place = widget
        .get_deref(b"Rect", document)
        .ok()
        .and_then(|rect| view.placed(rect, document));
    let appearance = place.map(|place| draw(update, &place, lines)).transpose()?;
    register(update, None)?;
    let signature = update.reserve()?;
    let widget = update.edit(field)?.as_dict_mut()?;
    widget.set("V", signature);
    if let Some(appearance) = appearance {
        widget.set("AP", appearance);
    }
    Ok(signature)
}

/// Makes a new field, merged with its widget, on a page.
fn create(
    update: &mut Update,
    name: &str,
    parameters: &Parameters,
    lines: &[String],
) -> Result<ObjectId, Error> {
    let number = parameters.placement.map_or(1, |placement| placement.page);
    let pages = update.document().get_pages();
    let page = *pages.get(&number).ok_or(Error::NoSuchPage {
        page: number,
        pages: pages.len(),
    })?;

    let mut widget = Dictionary::new();
    widget.set("Type", "Annot");
    widget.set("Subtype", "Widget");
    widget.set("FT", "Sig");
    widget.set("T", text::string(name));
    widget.set("F", WIDGET_FLAGS);
    widget.set("P", page);
    if let Some(placement) = parameters.placement {
        let view = View::of(update.document().get_dictionary(page)?, update.document());
        let place = view.place(placement.rectangle)?;
        widget.set("Rect", place.corners.map(Object::Real).to_vec());
        widget.set("AP", draw(update, &place, lines)?);
    } else {
        widget.set("Rect", [0; 4].map(Object::Integer).to_vec());
    }
    let field = update.reserve()?;
    let signature = update.reserve()?;
    widget.set("V", signature);
    update.set(field, widget);
    append(update, page, b"Annots", field)?;
    register(update, Some(field))?;
    Ok(signature)
}

fn draw(update: &mut Update, place: &Placed, lines: &[String]) -> Result<Dictionary, Error> {
    let font = update.reserve()?;
    let form = update.reserve()?;
    update.set(form, appearance::form(place, lines, font.into())?);
    update.set(font, appearance::font());
    let mut appearance = Dictionary::new();
    appearance.set("N", form);
    Ok(appearance)
}

/// Enters a new field into the form, and that the document holds signatures.
fn register(update: &mut Update, field: Option<ObjectId>) -> Result<(), Error> {
    let form = form(update)?;
    let flags = update
        .dictionary(form)?
        .get_deref(b"SigFlags", update.document())
        .and_then(Object::as_i64)
        .unwrap_or(0);
    if flags & SIGNATURE_FLAGS != SIGNATURE_FLAGS {
        update
            .edit(form)?
            .as_dict_mut()?
            .set("SigFlags", flags | SIGNATURE_FLAGS);
    }
    field.map_or(Ok(()), |field| append(update, form, b"Fields", field))
}

/// The number of the form. One that stands in the catalog, or is not there yet, becomes an object of its own.
fn form(update: &mut Update) -> Result<ObjectId, Error> {
    let catalog = update.catalog()?;
    let form = match update.dictionary(catalog)?.get(b"AcroForm") {
        Ok(Object::Reference(id)) if update.dictionary(*id).is_ok() => return Ok(*id),
        Ok(Object::Dictionary(form)) => form.clone(),
        _ => Dictionary::new(),
    };
    let id = update.reserve()?;
    update.set(id, form);
    update.edit(catalog)?.as_dict_mut()?.set("AcroForm", id);
    Ok(id)
}

/// Appends to the array under `key`; where that is an object of its own, its owner stays as it is.
fn append(
    update: &mut Update,
    owner: ObjectId,
    key: &[u8],
    reference: ObjectId,
) -> Result<(), Error> {
    let array = match update.dictionary(owner)?.get(key) {
        Ok(Object::Reference(id)) => update.edit(*id)?.as_array_mut()?,
        Ok(Object::Array(_)) => update
            .edit(owner)?
            .as_dict_mut()?
            .get_mut(key)?
            .as_array_mut()?,
        _ => {
            update
                .edit(owner)?
                .as_dict_mut()?
                .set(key, vec![reference.into()]);
            return Ok(());
        }
    };
    array.push(reference.into());
    Ok(())
}
