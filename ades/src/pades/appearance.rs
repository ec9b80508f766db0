//! What a visible signature shows (ISO 32000-2, 12.5.5): lines of text, fitted into the rectangle.

use lopdf::{Dictionary, Encoding, Object, Stream};

use super::Error;
use super::geometry::Placed;

/// Points around the text.
const MARGIN: f32 = 2.0;
/// Distance of the lines, in font sizes.
const LEADING: f32 = 1.2;
/// The width of a character of Helvetica, in font sizes: more than the average, so that lines end inside.
const ADVANCE: f32 = 0.6;

/// The font of the appearance. It is one that every reader has, so that none need be embedded.
pub(super) fn font() -> Dictionary {
    let mut font = Dictionary::new();
    font.set("Type", "Font");
    font.set("Subtype", "Type1");
    font.set("BaseFont", "Helvetica");
    font.set("Encoding", "WinAnsiEncoding");
    font
}

/// The form that draws `lines` upright into `place`; its font is the resource `F`.
pub(super) fn form(place: &Placed, lines: &[String], font: Object) -> Result<Stream, Error> {
    let (width, height) = place.size;
    let longest = lines
        .iter()
        .map(|line| line.chars().count())
        .max()
        .unwrap_or(1)
        .max(1);
    let by_height = (height - 2.0 * MARGIN) / (LEADING * lines.len().max(1) as f32);
    let by_width = (width - 2.0 * MARGIN) / (ADVANCE * longest as f32);
    let size = by_height.min(by_width).clamp(1.0, 12.0);

    let mut content = format!(
        "q 0 0 {width} {height} re W n BT /F {size} Tf {} TL {MARGIN} {} Td",
        size * LEADING,
        height - MARGIN
    );
    for line in lines {
        content.push_str(" T* <");
        for octet in winansi(line)? {
            content.push_str(&format!("{octet:02X}"));
        }
        content.push_str("> Tj");
    }
    content.push_str(" ET Q");

    let mut fonts = Dictionary::new();
    fonts.set("F", font);
    let mut resources = Dictionary::new();
    resources.set("Font", fonts);
    let mut dictionary = Dictionary::new();
    dictionary.set("Type", "XObject");
    dictionary.set("Subtype", "Form");
    dictionary.set("BBox", [0.0, 0.0, width, height].map(Object::Real).to_vec());
    dictionary.set(
        "Matrix",
        matrix(place.rotation).map(Object::Integer).to_vec(),
    );
    dictionary.set("Resources", resources);
    Ok(Stream::new(dictionary, content.into_bytes()))
}

/// Turned anticlockwise, against the page. Readers move the turned box into the rectangle (algorithm 12.5.5).
fn matrix(rotation: i64) -> [i64; 6] {
    match rotation {
        90 => [0, 1, -1, 0, 0, 0],
        180 => [-1, 0, 0, -1, 0, 0],
        270 => [0, -1, 1, 0, 0, 0],
        _ => [1, 0, 0, 1, 0, 0],
    }
}

fn winansi(line: &str) -> Result<Vec<u8>, Error> {
    let encoding = Encoding::SimpleEncoding(b"WinAnsiEncoding");
    line.chars()
        .map(|character| {
            match encoding
                .string_to_bytes(character.encode_utf8(&mut [0; 4]))
                .as_slice()
            {
                [octet] if !character.is_control() => Ok(*octet),
                _ => Err(Error::Glyph(character)),
            }
        })
        .collect()
}
