//! The table of functions: one line each. Adding one is a line here and its evaluation in the
//! engine.

use crate::plan::Type;

/// The name, arity and result of a function.
#[derive(Clone, Debug)]
pub struct Signature {
    /// As users write it; names are compared without regard to case.
    pub name: &'static str,
    /// Which function.
    pub function: Function,
    /// Fewest arguments.
    pub min: usize,
    /// Most arguments; `usize::MAX` for any number.
    pub max: usize,
    /// What is known of the result. `None`: it depends on the arguments.
    pub result: Option<Type>,
}

macro_rules! functions {
    ($($(#[$doc:meta])* $function:ident = $name:literal ($min:expr, $max:expr) -> $result:expr;)*) => {
        /// A function that an expression can call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Function {
            $($(#[$doc])* $function,)*
        }

        /// Every function, in the order of the documentation.
        pub const FUNCTIONS: &[Signature] = &[
            $(Signature { name: $name, function: Function::$function, min: $min, max: $max, result: $result },)*
        ];
    };
}

const ANY_NUMBER: usize = usize::MAX;

functions! {
    /// The identity of a node or relationship: its key's value (a list when composite), else text.
    Id = "id" (1, 1) -> None;
    /// The labels of a node, type first, then interfaces.
    Labels = "labels" (1, 1) -> None;
    /// The type of a relationship, as text.
    Type = "type" (1, 1) -> Some(Type::String);
    /// The names of the properties that are not null.
    Keys = "keys" (1, 1) -> None;
    /// The properties as a map.
    Properties = "properties" (1, 1) -> Some(Type::Map);
    /// The node that a relationship leaves.
    StartNode = "startNode" (1, 1) -> None;
    /// The node that a relationship enters.
    EndNode = "endNode" (1, 1) -> None;
    /// The nodes of a path.
    Nodes = "nodes" (1, 1) -> None;
    /// The relationships of a path.
    Relationships = "relationships" (1, 1) -> None;
    /// The number of relationships of a path.
    Length = "length" (1, 1) -> Some(Type::Integer);
    /// Elements of a list, characters of a text.
    Size = "size" (1, 1) -> Some(Type::Integer);
    /// First element.
    Head = "head" (1, 1) -> None;
    /// Last element.
    Last = "last" (1, 1) -> None;
    /// All but the first element.
    Tail = "tail" (1, 1) -> None;
    /// A list or text backwards.
    Reverse = "reverse" (1, 1) -> None;
    /// Integers from first to last, both included, by an optional step.
    Range = "range" (2, 3) -> None;
    /// The first argument that is not null.
    Coalesce = "coalesce" (1, ANY_NUMBER) -> None;
    /// Number or text to integer; null when it is none.
    ToInteger = "toInteger" (1, 1) -> Some(Type::Integer);
    /// Number or text to float; null when it is none.
    ToFloat = "toFloat" (1, 1) -> Some(Type::Float);
    /// Any scalar to text.
    ToString = "toString" (1, 1) -> Some(Type::String);
    /// `'true'` or `'false'` in any case to boolean; null when neither.
    ToBoolean = "toBoolean" (1, 1) -> Some(Type::Boolean);
    /// Lower case.
    ToLower = "toLower" (1, 1) -> Some(Type::String);
    /// Upper case.
    ToUpper = "toUpper" (1, 1) -> Some(Type::String);
    /// Without white space at both ends.
    Trim = "trim" (1, 1) -> Some(Type::String);
    /// Without white space at the start.
    LTrim = "lTrim" (1, 1) -> Some(Type::String);
    /// Without white space at the end.
    RTrim = "rTrim" (1, 1) -> Some(Type::String);
    /// Text from an offset in characters, optionally of a length.
    Substring = "substring" (2, 3) -> Some(Type::String);
    /// The first characters.
    Left = "left" (2, 2) -> Some(Type::String);
    /// The last characters.
    Right = "right" (2, 2) -> Some(Type::String);
    /// The parts between separators.
    Split = "split" (2, 2) -> None;
    /// Every occurrence replaced.
    Replace = "replace" (3, 3) -> Some(Type::String);
    /// Absolute value.
    Abs = "abs" (1, 1) -> None;
    /// Rounded up, a float.
    Ceil = "ceil" (1, 1) -> Some(Type::Float);
    /// Rounded down, a float.
    Floor = "floor" (1, 1) -> Some(Type::Float);
    /// Rounded to the nearest, halves up, a float.
    Round = "round" (1, 1) -> Some(Type::Float);
    /// Square root.
    Sqrt = "sqrt" (1, 1) -> Some(Type::Float);
    /// -1, 0 or 1.
    Sign = "sign" (1, 1) -> Some(Type::Integer);
    /// ISO 8601 text to a date.
    Date = "date" (1, 1) -> Some(Type::Date);
    /// ISO 8601 text with an offset to an instant.
    DateTime = "datetime" (1, 1) -> Some(Type::DateTime);
}
