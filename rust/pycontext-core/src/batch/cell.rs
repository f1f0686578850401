//! Cells of Arrow arrays as texts, numbers and JSON.

use std::borrow::Cow;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    AnyDictionaryArray, Array, ArrayRef, LargeStringArray, MapArray, StringArray, StringViewArray,
    StructArray,
};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;
use bumpalo::Bump;
use bumpalo::collections::String as ArenaString;

use crate::error::Fault;

use super::json::{Type, Value, quote, repr};

/// A column of texts, in any of Arrow's layouts.
#[derive(Debug)]
pub enum Texts<'a> {
    /// 32-bit offsets.
    Short(&'a StringArray),
    /// 64-bit offsets.
    Long(&'a LargeStringArray),
    /// Views.
    View(&'a StringViewArray),
    /// Each text once, and which one for every row.
    Coded(Vec<usize>, Box<Texts<'a>>, &'a dyn Array),
}

impl<'a> Texts<'a> {
    /// The texts of an array, `None` where it has none.
    pub fn of(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Utf8 => Self::Short(array.as_string()),
            DataType::LargeUtf8 => Self::Long(array.as_string()),
            DataType::Utf8View => Self::View(array.as_string_view()),
            DataType::Dictionary(..) => {
                let coded: &dyn AnyDictionaryArray = array.as_any_dictionary();
                let texts = Self::of(coded.values().as_ref())?;
                Self::Coded(coded.normalized_keys(), Box::new(texts), array)
            }
            _ => return None,
        })
    }

    /// The text of a row, `None` where it is null.
    pub fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Short(array) => (!array.is_null(row)).then(|| array.value(row)),
            Self::Long(array) => (!array.is_null(row)).then(|| array.value(row)),
            Self::View(array) => (!array.is_null(row)).then(|| array.value(row)),
            Self::Coded(keys, texts, array) => {
                if array.is_null(row) {
                    None
                } else {
                    texts.get(keys[row])
                }
            }
        }
    }
}

/// A column of numbers, read at once.
#[derive(Debug)]
pub struct Numbers<'a, T: Clone> {
    values: Cow<'a, [T]>,
    nulls: Option<&'a NullBuffer>,
}

impl<T: Copy> Numbers<'_, T> {
    /// The number of a row, `None` where it is null.
    #[inline]
    pub fn get(&self, row: usize) -> Option<T> {
        let is_null = self.nulls.is_some_and(|nulls| nulls.is_null(row));
        (!is_null).then(|| self.values[row])
    }
}

impl<'a> Numbers<'a, i64> {
    /// The whole numbers of an array of any width, `None` where it has none; what is beyond is the largest.
    pub fn whole(array: &'a dyn Array) -> Option<Self> {
        let values = match array.data_type() {
            DataType::Int8 => converted::<Int8Type>(array),
            DataType::Int16 => converted::<Int16Type>(array),
            DataType::Int32 => converted::<Int32Type>(array),
            DataType::Int64 => Cow::Borrowed(&array.as_primitive::<Int64Type>().values()[..]),
            DataType::UInt8 => converted::<UInt8Type>(array),
            DataType::UInt16 => converted::<UInt16Type>(array),
            DataType::UInt32 => converted::<UInt32Type>(array),
            DataType::UInt64 => converted::<UInt64Type>(array),
            _ => return None,
        };
        Some(Self { values, nulls: array.nulls() })
    }
}

impl<'a> Numbers<'a, f64> {
    /// The numbers of an array, with or without a point, `None` where it has none.
    #[expect(clippy::cast_precision_loss, reason = "scores are from 0 to 1")]
    pub fn real(array: &'a dyn Array) -> Option<Self> {
        let values = match array.data_type() {
            DataType::Float64 => Cow::Borrowed(&array.as_primitive::<Float64Type>().values()[..]),
            DataType::Float32 => {
                array.as_primitive::<Float32Type>().values().iter().map(|n| f64::from(*n)).collect()
            }
            _ => Numbers::whole(array)?.values.iter().map(|number| *number as f64).collect(),
        };
        Some(Self { values, nulls: array.nulls() })
    }
}

fn converted<T: ArrowPrimitiveType>(array: &dyn Array) -> Cow<'static, [i64]>
where
    T::Native: TryInto<i64>,
{
    let values = array.as_primitive::<T>().values().iter();
    values.map(|value| (*value).try_into().unwrap_or(i64::MAX)).collect()
}

/// Whether nothing is in a cell.
pub fn is_null(array: &dyn Array, row: usize) -> bool {
    array.is_null(row) || *array.data_type() == DataType::Null
}

/// A cell that is no text, as JSON in the arena.
///
/// # Errors
/// JSON cannot say it.
pub fn value<'a>(array: &dyn Array, row: usize, arena: &'a Bump) -> Result<Value<'a>, Fault> {
    if is_null(array, row) {
        return Ok(Value { raw: "null", kind: Type::Null });
    }
    let kind = match array.data_type() {
        DataType::Struct(_) | DataType::Map(..) => Type::Object,
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => Type::List,
        DataType::Boolean => Type::Flag,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Type::Real,
        _ => Type::Whole,
    };
    let mut out = ArenaString::new_in(arena);
    write(array, row, &mut out)?;
    Ok(Value { raw: out.into_bump_str(), kind })
}

/// Writes a cell as JSON without blanks; fields that are null are left out of objects.
fn write(array: &dyn Array, row: usize, out: &mut ArenaString<'_>) -> Result<(), Fault> {
    if is_null(array, row) {
        out.push_str("null");
        return Ok(());
    }
    // Only of this row: the keys of all would be read for every row.
    let one = array.slice(row, 1);
    let (array, row) = (one.as_ref(), 0);
    if let Some(number) = Numbers::whole(array).and_then(|numbers| numbers.get(row)) {
        out.push_str(&number.to_string());
        return Ok(());
    }
    if let Some(text) = Texts::of(array).and_then(|texts| texts.get(row)) {
        quote(text, out);
        return Ok(());
    }
    match array.data_type() {
        DataType::Boolean => {
            out.push_str(if array.as_boolean().value(row) { "true" } else { "false" });
        }
        DataType::Float64 => real(array.as_primitive::<Float64Type>().value(row), out)?,
        DataType::Float32 => real(array.as_primitive::<Float32Type>().value(row).into(), out)?,
        DataType::Float16 => real(array.as_primitive::<Float16Type>().value(row).into(), out)?,
        DataType::List(_) => items(&array.as_list::<i32>().value(row), out)?,
        DataType::LargeList(_) => items(&array.as_list::<i64>().value(row), out)?,
        DataType::FixedSizeList(..) => items(&array.as_fixed_size_list().value(row), out)?,
        DataType::Struct(_) => fields(array.as_struct(), row, out)?,
        DataType::Map(..) => entries(array.as_map(), row, out)?,
        other => {
            let rule = format!("is {other}, which JSON cannot say");
            return Err(Fault::new("field", "", rule));
        }
    }
    Ok(())
}

fn real(number: f64, out: &mut ArenaString<'_>) -> Result<(), Fault> {
    if !number.is_finite() {
        return Err(Fault::new("number", &number.to_string(), "is no JSON"));
    }
    out.push_str(&repr(number));
    Ok(())
}

fn items(items: &ArrayRef, out: &mut ArenaString<'_>) -> Result<(), Fault> {
    out.push('[');
    for at in 0..items.len() {
        if at > 0 {
            out.push(',');
        }
        write(items, at, out)?;
    }
    out.push(']');
    Ok(())
}

fn fields(object: &StructArray, row: usize, out: &mut ArenaString<'_>) -> Result<(), Fault> {
    let mut separator = '{';
    for (field, column) in object.fields().iter().zip(object.columns()) {
        if !is_null(column, row) {
            out.push(separator);
            separator = ',';
            quote(field.name(), out);
            out.push(':');
            write(column, row, out)?;
        }
    }
    out.push_str(if separator == '{' { "{}" } else { "}" });
    Ok(())
}

fn entries(map: &MapArray, row: usize, out: &mut ArenaString<'_>) -> Result<(), Fault> {
    let entries = map.value(row);
    let (keys, values) = (entries.column(0), entries.column(1));
    let texts =
        Texts::of(keys).ok_or_else(|| Fault::new("map", "", "has keys that are no texts"))?;
    out.push('{');
    for at in 0..entries.len() {
        if at > 0 {
            out.push(',');
        }
        quote(texts.get(at).unwrap_or_default(), out);
        out.push(':');
        write(values, at, out)?;
    }
    out.push('}');
    Ok(())
}
