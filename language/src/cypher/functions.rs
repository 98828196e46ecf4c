//! The table of functions: one line each, with what it takes, gives and does. Adding one is a line
//! here and its evaluation in the engine. `docs/cypher.md` is written from this table.

use std::collections::BTreeSet;

use crate::plan::Type;

/// The name, arguments and result of a function.
#[derive(Clone, Debug)]
pub struct Signature {
    /// As users write it; names are compared without regard to case.
    pub name: &'static str,
    /// Which function.
    pub function: Function,
    /// What it takes at each place; the last one again and again when `more`.
    pub parameters: &'static [&'static [Kind]],
    /// Fewest arguments.
    pub min: usize,
    /// Any number of arguments may follow.
    pub more: bool,
    /// What is known of the result. `None`: it depends on the arguments.
    pub result: Option<Type>,
    /// The heading that it stands under in the documentation.
    pub group: &'static str,
    /// One sentence.
    pub description: &'static str,
}

/// What a function takes at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything.
    Any,
    /// A boolean.
    Boolean,
    /// An integer.
    Integer,
    /// An integer or a float.
    Number,
    /// Text.
    String,
    /// A list.
    List,
    /// A map.
    Map,
    /// A node.
    Node,
    /// A relationship.
    Relationship,
    /// A path.
    Path,
    /// A date.
    Date,
    /// A date, a time or both.
    Temporal,
    /// An amount of time.
    Duration,
}

impl Kind {
    /// The types of values of this kind; none when there is no limit.
    #[must_use]
    pub fn types(self) -> Vec<Type> {
        match self {
            Self::Any => Vec::new(),
            Self::Boolean => vec![Type::Boolean],
            Self::Integer => vec![Type::Integer],
            Self::Number => vec![Type::Number],
            Self::String => vec![Type::String],
            Self::List => vec![Type::List(Box::new(Type::Any))],
            Self::Map => vec![Type::Map],
            Self::Node => vec![Type::Node(BTreeSet::new())],
            Self::Relationship => vec![Type::Relationship(BTreeSet::new())],
            Self::Path => vec![Type::Path],
            Self::Date => vec![Type::Date],
            Self::Temporal => vec![
                Type::Date,
                Type::DateTime,
                Type::LocalDateTime,
                Type::Time,
                Type::LocalTime,
            ],
            Self::Duration => vec![Type::Duration],
        }
    }

    /// With its article, for messages and the documentation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Boolean => "a boolean",
            Self::Integer => "an integer",
            Self::Number => "a number",
            Self::String => "a string",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Node => "a node",
            Self::Relationship => "a relationship",
            Self::Path => "a path",
            Self::Date => "a date",
            Self::Temporal => "a date or time",
            Self::Duration => "a duration",
        }
    }
}

impl Signature {
    /// What it takes at a place, in words.
    #[must_use]
    pub fn takes(&self, place: usize) -> String {
        let kinds = self.parameters.get(place).or(self.parameters.last());
        let names: Vec<&str> = kinds
            .into_iter()
            .flat_map(|kinds| kinds.iter())
            .map(|kind| kind.name())
            .collect();
        names.join(" or ")
    }

    /// Most arguments; `usize::MAX` for any number.
    #[must_use]
    pub const fn max(&self) -> usize {
        if self.more {
            usize::MAX
        } else {
            self.parameters.len()
        }
    }

    /// What it takes at a place, counted from 0; empty for anything.
    #[must_use]
    pub fn wanted(&self, place: usize) -> Vec<Type> {
        let kinds = self.parameters.get(place).or(self.parameters.last());
        let types: Vec<Vec<Type>> = kinds
            .into_iter()
            .flat_map(|kinds| kinds.iter())
            .map(|kind| kind.types())
            .collect();
        if types.iter().any(Vec::is_empty) {
            return Vec::new();
        }
        types.into_iter().flatten().collect()
    }
}

macro_rules! functions {
    (@more) => { false };
    (@more $more:tt) => { true };
    ($($group:literal {
        $(#[doc = $doc:literal] $function:ident = $name:literal $min:literal
            ($($($kind:ident)|+),*) $(.. $more:tt)? -> $result:expr;)*
    })*) => {
        /// A function that an expression can call.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Function {
            $($(#[doc = $doc] $function,)*)*
        }

        /// Every function, in the order of the documentation.
        pub const FUNCTIONS: &[Signature] = &[
            $($(Signature {
                name: $name,
                function: Function::$function,
                parameters: &[$(&[$(Kind::$kind),+]),*],
                min: $min,
                more: functions!(@more $($more)?),
                result: $result,
                group: $group,
                description: $doc,
            },)*)*
        ];
    };
}

functions! {
    "Nodes, relationships and paths" {
        /// The identity of a node or relationship: its key's value (a list when composite), else text.
        Id = "id" 1 (Node | Relationship) -> None;
        /// The identity as text.
        ElementId = "elementId" 1 (Node | Relationship) -> Some(Type::String);
        /// The labels of a node.
        Labels = "labels" 1 (Node) -> None;
        /// The type of a relationship, as text.
        Type = "type" 1 (Relationship) -> Some(Type::String);
        /// The names of the properties that are not null.
        Keys = "keys" 1 (Node | Relationship | Map) -> None;
        /// The properties as a map.
        Properties = "properties" 1 (Node | Relationship | Map) -> Some(Type::Map);
        /// The node that a relationship leaves.
        StartNode = "startNode" 1 (Relationship) -> None;
        /// The node that a relationship enters.
        EndNode = "endNode" 1 (Relationship) -> None;
        /// The nodes of a path.
        Nodes = "nodes" 1 (Path) -> None;
        /// The relationships of a path.
        Relationships = "relationships" 1 (Path) -> None;
        /// The number of relationships of a path.
        Length = "length" 1 (Path) -> Some(Type::Integer);
    }
    "Lists" {
        /// Elements of a list, characters of a text.
        Size = "size" 1 (List | String) -> Some(Type::Integer);
        /// First element.
        Head = "head" 1 (List) -> None;
        /// Last element.
        Last = "last" 1 (List) -> None;
        /// All but the first element.
        Tail = "tail" 1 (List) -> None;
        /// A list or text backwards.
        Reverse = "reverse" 1 (List | String) -> None;
        /// Integers from first to last, both included, by an optional step.
        Range = "range" 2 (Integer, Integer, Integer) -> None;
        /// Whether a list, map or text has nothing in it.
        IsEmpty = "isEmpty" 1 (List | String | Map) -> Some(Type::Boolean);
    }
    "Choosing and converting" {
        /// The first argument that is not null.
        Coalesce = "coalesce" 1 (Any) .. more -> None;
        /// Number or text to integer; null when it is none.
        ToInteger = "toInteger" 1 (Number | String | Boolean) -> Some(Type::Integer);
        /// As toInteger, and null for anything else.
        ToIntegerOrNull = "toIntegerOrNull" 1 (Any) -> Some(Type::Integer);
        /// Number or text to float; null when it is none.
        ToFloat = "toFloat" 1 (Number | String) -> Some(Type::Float);
        /// As toFloat, and null for anything else.
        ToFloatOrNull = "toFloatOrNull" 1 (Any) -> Some(Type::Float);
        /// Any scalar to text.
        ToString = "toString" 1 (String | Number | Boolean | Temporal | Duration) -> Some(Type::String);
        /// As toString, and null for anything else.
        ToStringOrNull = "toStringOrNull" 1 (Any) -> Some(Type::String);
        /// `'true'` or `'false'` in any case to boolean; null when neither.
        ToBoolean = "toBoolean" 1 (String | Boolean | Integer) -> Some(Type::Boolean);
        /// As toBoolean, and null for anything else.
        ToBooleanOrNull = "toBooleanOrNull" 1 (Any) -> Some(Type::Boolean);
    }
    "Text" {
        /// Lower case.
        ToLower = "toLower" 1 (String) -> Some(Type::String);
        /// Upper case.
        ToUpper = "toUpper" 1 (String) -> Some(Type::String);
        /// Lower case.
        Lower = "lower" 1 (String) -> Some(Type::String);
        /// Upper case.
        Upper = "upper" 1 (String) -> Some(Type::String);
        /// Without white space at both ends.
        Trim = "trim" 1 (String) -> Some(Type::String);
        /// Without white space at the start.
        LTrim = "lTrim" 1 (String) -> Some(Type::String);
        /// Without white space at the end.
        RTrim = "rTrim" 1 (String) -> Some(Type::String);
        /// Text from an offset in characters, optionally of a length.
        Substring = "substring" 2 (String, Integer, Integer) -> Some(Type::String);
        /// The first characters.
        Left = "left" 2 (String, Integer) -> Some(Type::String);
        /// The last characters.
        Right = "right" 2 (String, Integer) -> Some(Type::String);
        /// The parts between separators.
        Split = "split" 2 (String, String) -> None;
        /// Every occurrence replaced.
        Replace = "replace" 3 (String, String, String) -> Some(Type::String);
        /// How many characters it has.
        CharLength = "char_length" 1 (String) -> Some(Type::Integer);
        /// A new random UUID.
        RandomUuid = "randomUUID" 0 () -> Some(Type::String);
    }
    "Numbers" {
        /// Absolute value.
        Abs = "abs" 1 (Number) -> None;
        /// Rounded up, a float.
        Ceil = "ceil" 1 (Number) -> Some(Type::Float);
        /// Rounded down, a float.
        Floor = "floor" 1 (Number) -> Some(Type::Float);
        /// Rounded to the nearest, halves up, a float; optionally to so many decimals.
        Round = "round" 1 (Number, Integer) -> Some(Type::Float);
        /// Square root.
        Sqrt = "sqrt" 1 (Number) -> Some(Type::Float);
        /// -1, 0 or 1.
        Sign = "sign" 1 (Number) -> Some(Type::Integer);
        /// A random float from 0 up to, not including, 1.
        Rand = "rand" 0 () -> Some(Type::Float);
        /// e to the power of a number.
        Exp = "exp" 1 (Number) -> Some(Type::Float);
        /// Natural logarithm.
        Log = "log" 1 (Number) -> Some(Type::Float);
        /// Logarithm to base 10.
        Log10 = "log10" 1 (Number) -> Some(Type::Float);
        /// Sine.
        Sin = "sin" 1 (Number) -> Some(Type::Float);
        /// Cosine.
        Cos = "cos" 1 (Number) -> Some(Type::Float);
        /// Tangent.
        Tan = "tan" 1 (Number) -> Some(Type::Float);
        /// Cotangent.
        Cot = "cot" 1 (Number) -> Some(Type::Float);
        /// Arc sine.
        Asin = "asin" 1 (Number) -> Some(Type::Float);
        /// Arc cosine.
        Acos = "acos" 1 (Number) -> Some(Type::Float);
        /// Arc tangent.
        Atan = "atan" 1 (Number) -> Some(Type::Float);
        /// The angle of the point (second, first).
        Atan2 = "atan2" 2 (Number, Number) -> Some(Type::Float);
        /// Half of the versine.
        Haversin = "haversin" 1 (Number) -> Some(Type::Float);
        /// Radians to degrees.
        Degrees = "degrees" 1 (Number) -> Some(Type::Float);
        /// Degrees to radians.
        Radians = "radians" 1 (Number) -> Some(Type::Float);
        /// The number pi.
        Pi = "pi" 0 () -> Some(Type::Float);
        /// The number e.
        E = "e" 0 () -> Some(Type::Float);
        /// Whether it is not a number.
        IsNaN = "isNaN" 1 (Number) -> Some(Type::Boolean);
    }
    "Dates and times" {
        /// A date from text, a map or another date; today without an argument.
        Date = "date" 0 (String | Map | Temporal) -> Some(Type::Date);
        /// A date and time with an offset, from text, a map or another time; now without an argument.
        DateTime = "datetime" 0 (String | Map | Temporal) -> Some(Type::DateTime);
        /// A date and time without an offset.
        LocalDateTime = "localdatetime" 0 (String | Map | Temporal) -> Some(Type::LocalDateTime);
        /// A time of day with an offset.
        Time = "time" 0 (String | Map | Temporal) -> Some(Type::Time);
        /// A time of day without an offset.
        LocalTime = "localtime" 0 (String | Map | Temporal) -> Some(Type::LocalTime);
        /// An amount of time from text or a map.
        Duration = "duration" 1 (String | Map | Duration) -> Some(Type::Duration);
        /// A date cut off at a unit, with components of a map on top.
        DateTruncate = "date.truncate" 1 (String, Temporal, Map) -> Some(Type::Date);
        /// A datetime cut off at a unit, with components of a map on top.
        DateTimeTruncate = "datetime.truncate" 1 (String, Temporal, Map) -> Some(Type::DateTime);
        /// A localdatetime cut off at a unit, with components of a map on top.
        LocalDateTimeTruncate = "localdatetime.truncate" 1 (String, Temporal, Map) -> Some(Type::LocalDateTime);
        /// A time cut off at a unit, with components of a map on top.
        TimeTruncate = "time.truncate" 1 (String, Temporal, Map) -> Some(Type::Time);
        /// A localtime cut off at a unit, with components of a map on top.
        LocalTimeTruncate = "localtime.truncate" 1 (String, Temporal, Map) -> Some(Type::LocalTime);
        /// The same in every row of a statement.
        DateStatement = "date.statement" 0 (String) -> Some(Type::Date);
        /// The same in every row of a statement.
        DateTimeStatement = "datetime.statement" 0 (String) -> Some(Type::DateTime);
        /// The same in every row of a statement.
        LocalDateTimeStatement = "localdatetime.statement" 0 (String) -> Some(Type::LocalDateTime);
        /// The same in every row of a statement.
        TimeStatement = "time.statement" 0 (String) -> Some(Type::Time);
        /// The same in every row of a statement.
        LocalTimeStatement = "localtime.statement" 0 (String) -> Some(Type::LocalTime);
        /// The same within a transaction.
        DateTransaction = "date.transaction" 0 (String) -> Some(Type::Date);
        /// The same within a transaction.
        DateTimeTransaction = "datetime.transaction" 0 (String) -> Some(Type::DateTime);
        /// The same within a transaction.
        LocalDateTimeTransaction = "localdatetime.transaction" 0 (String) -> Some(Type::LocalDateTime);
        /// The same within a transaction.
        TimeTransaction = "time.transaction" 0 (String) -> Some(Type::Time);
        /// The same within a transaction.
        LocalTimeTransaction = "localtime.transaction" 0 (String) -> Some(Type::LocalTime);
        /// What the clock says.
        DateRealtime = "date.realtime" 0 (String) -> Some(Type::Date);
        /// What the clock says.
        DateTimeRealtime = "datetime.realtime" 0 (String) -> Some(Type::DateTime);
        /// What the clock says.
        LocalDateTimeRealtime = "localdatetime.realtime" 0 (String) -> Some(Type::LocalDateTime);
        /// What the clock says.
        TimeRealtime = "time.realtime" 0 (String) -> Some(Type::Time);
        /// What the clock says.
        LocalTimeRealtime = "localtime.realtime" 0 (String) -> Some(Type::LocalTime);
        /// The instant so many seconds, and nanoseconds, after 1970.
        FromEpoch = "datetime.fromEpoch" 2 (Number, Number) -> Some(Type::DateTime);
        /// The instant so many milliseconds after 1970.
        FromEpochMillis = "datetime.fromEpochMillis" 1 (Number) -> Some(Type::DateTime);
        /// What lies between two times, in months, days and seconds.
        DurationBetween = "duration.between" 2 (Temporal, Temporal) -> Some(Type::Duration);
        /// What lies between two times, in whole months.
        DurationInMonths = "duration.inMonths" 2 (Temporal, Temporal) -> Some(Type::Duration);
        /// What lies between two times, in whole days.
        DurationInDays = "duration.inDays" 2 (Temporal, Temporal) -> Some(Type::Duration);
        /// What lies between two times, in seconds.
        DurationInSeconds = "duration.inSeconds" 2 (Temporal, Temporal) -> Some(Type::Duration);
        /// Milliseconds since 1970.
        Timestamp = "timestamp" 0 () -> Some(Type::Integer);
    }
    "Internal" {
        /// The properties that `=` and `+=` assign: null is refused.
        Assigned = "_assigned" 1 (Any) -> Some(Type::Map);
        /// A map with one entry, whose name is computed.
        Entry = "_entry" 2 (Any, Any) -> Some(Type::Map);
        /// A map with the entries of another laid over it.
        Overlay = "_overlay" 2 (Any, Any) -> Some(Type::Map);
        /// A list of labels with others added.
        WithLabels = "_withLabels" 2 (Any, Any) -> None;
        /// A list of labels without others.
        WithoutLabels = "_withoutLabels" 2 (Any, Any) -> None;
    }
}

/// The function that users call by this name, in any case. Names with `_` in front are ours alone.
#[must_use]
pub fn named(name: &str) -> Option<&'static Signature> {
    let found = FUNCTIONS
        .iter()
        .find(|known| known.name.eq_ignore_ascii_case(name));
    found.filter(|known| !known.name.starts_with('_'))
}

impl Function {
    /// Its line in the table.
    #[must_use]
    pub fn signature(self) -> &'static Signature {
        // The table is written in the order of the enum.
        let found = FUNCTIONS
            .get(self as usize)
            .filter(|found| found.function == self);
        found.unwrap_or(&FUNCTIONS[0])
    }

    /// Whether two calls with the same arguments may differ.
    #[must_use]
    pub const fn is_random(self) -> bool {
        matches!(self, Self::Rand | Self::RandomUuid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_finds_its_line_by_itself_and_by_name() {
        for line in FUNCTIONS {
            assert_eq!(line.function.signature().name, line.name);
            assert_eq!(named(line.name).is_some(), !line.name.starts_with('_'));
            assert!(line.min <= line.parameters.len());
            assert!(line.description.trim().ends_with('.'), "{}", line.name);
        }
    }
}
