//! The codec as a whole: properties over generated values, comparison with two other parsers and with recorded
//! answers of the reference, and mutated inputs from a kept corpus.

mod check;
mod corpus;
mod differential;
mod mutation;
mod properties;
mod reference;
mod values;
