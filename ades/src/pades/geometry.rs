//! From a rectangle on the page as people see it to the page's own coordinates (ISO 32000-2, 8.3.2 and 14.11.2).

use lopdf::{Dictionary, Document, Object};

use super::Error;

/// A rectangle on a page as displayed: in points (1/72 inch), from the lower left corner, rotation applied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rectangle {
    /// From the left edge of the page to the left edge of the rectangle.
    pub x: f32,
    /// From the lower edge of the page to the lower edge of the rectangle.
    pub y: f32,
    /// Its width.
    pub width: f32,
    /// Its height.
    pub height: f32,
}

/// The part of a page that is displayed, and how.
pub(super) struct View {
    /// Lower left and upper right corner of the crop box, in the page's own units.
    corners: [f32; 4],
    /// By how much the page is turned clockwise when displayed: 0, 90, 180 or 270 degrees.
    rotation: i64,
    /// The page's own unit, in points.
    unit: f32,
}

/// A rectangle in the page's own units.
pub(super) struct Placed {
    /// Lower left and upper right corner.
    pub(super) corners: [f32; 4],
    /// Width and height as displayed.
    pub(super) size: (f32, f32),
    /// By how much the content has to be turned anticlockwise to stand upright.
    pub(super) rotation: i64,
}

impl View {
    pub(super) fn of(page: &Dictionary, document: &Document) -> Self {
        let a4 = [0.0, 0.0, 595.0, 842.0];
        let media = inherited(page, b"MediaBox", document)
            .and_then(|object| corners(object, document))
            .unwrap_or(a4);
        let crop =
            inherited(page, b"CropBox", document).and_then(|object| corners(object, document));
        let rotation = inherited(page, b"Rotate", document)
            .and_then(|object| object.as_i64().ok())
            .unwrap_or(0);
        let unit = page
            .get_deref(b"UserUnit", document)
            .and_then(Object::as_float)
            .unwrap_or(1.0);
        Self {
            corners: crop.map_or(media, |crop| intersection(crop, media)),
            rotation: rotation.rem_euclid(360),
            unit,
        }
    }

    /// Places a rectangle that is given as displayed.
    pub(super) fn place(&self, rectangle: Rectangle) -> Result<Placed, Error> {
        let [left, bottom, right, top] = self.corners;
        let (page_width, page_height) = (right - left, top - bottom);
        let turned = self.rotation % 180 != 0;
        let (width, height) = if turned {
            (page_height, page_width)
        } else {
            (page_width, page_height)
        };
        let [x, y, w, h] = [rectangle.x, rectangle.y, rectangle.width, rectangle.height]
            .map(|points| points / self.unit);
        // Written so that what is not a number is refused too.
        let on_page =
            w > 0.0 && h > 0.0 && x >= 0.0 && y >= 0.0 && x + w <= width && y + h <= height;
        if !on_page {
            return Err(Error::Placement {
                width: width * self.unit,
                height: height * self.unit,
            });
        }
        let (u, v) = match self.rotation {
            90 => (page_width - y - h, x),
            180 => (page_width - x - w, page_height - y - h),
            270 => (y, page_height - x - w),
            _ => (x, y),
        };
        let (across, up) = if turned { (h, w) } else { (w, h) };
        let corners = [left + u, bottom + v, left + u + across, bottom + v + up];
        Ok(Placed {
            corners,
            size: (w, h),
            rotation: self.rotation,
        })
    }

    /// The place of a field that is there already; none where it has no extent.
    pub(super) fn placed(&self, rect: &Object, document: &Document) -> Option<Placed> {
        let corners @ [left, bottom, right, top] = corners(rect, document)?;
        let (across, up) = (right - left, top - bottom);
        let size = if self.rotation % 180 == 0 {
            (across, up)
        } else {
            (up, across)
        };
        (across > 0.0 && up > 0.0).then_some(Placed {
            corners,
            size,
            rotation: self.rotation,
        })
    }
}

/// An attribute that a page may have from the page tree (ISO 32000-2, 7.7.3.4).
fn inherited<'a>(page: &'a Dictionary, key: &[u8], document: &'a Document) -> Option<&'a Object> {
    let parents = std::iter::successors(Some(page), |node| {
        node.get_deref(b"Parent", document).ok()?.as_dict().ok()
    });
    // A page tree is shallow; the bound ends a circle.
    parents
        .take(64)
        .find_map(|node| node.get_deref(key, document).ok())
}

fn corners(object: &Object, document: &Document) -> Option<[f32; 4]> {
    let numbers: Vec<f32> = object
        .as_array()
        .ok()?
        .iter()
        .map_while(|number| document.dereference(number).ok()?.1.as_float().ok())
        .collect();
    let [a, b, c, d] = *numbers.as_slice() else {
        return None;
    };
    Some([a.min(c), b.min(d), a.max(c), b.max(d)])
}

fn intersection(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
    [
        a[0].max(b[0]),
        a[1].max(b[1]),
        a[2].min(b[2]),
        a[3].min(b[3]),
    ]
}
