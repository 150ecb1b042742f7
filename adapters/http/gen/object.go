package gen

// RawObject is the text of a JSON object that is passed through, without white space.
type RawObject string
