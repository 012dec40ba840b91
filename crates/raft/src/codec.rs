//! Bytes of our own: numbers in network order, lists and texts with their length before them.

/// Why bytes could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// They end early.
    #[error("{what} is cut short")]
    Short {
        /// What was being read.
        what: &'static str,
    },
    /// Something follows that does not belong there.
    #[error("{left} bytes too many after {what}")]
    Long {
        /// What was read last.
        what: &'static str,
        /// How much follows.
        left: usize,
    },
    /// A number is out of its bounds.
    #[error("{what} is {value}")]
    Value {
        /// What it is.
        what: &'static str,
        /// The number.
        value: u64,
    },
    /// A text is not UTF-8.
    #[error("{what} is no UTF-8")]
    Text {
        /// What it is.
        what: &'static str,
    },
}

/// Reads from a slice and never beyond it.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], CodecError> {
        let (array, rest) = self.0.split_first_chunk().ok_or(CodecError::Short { what })?;
        self.0 = rest;
        Ok(*array)
    }

    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, CodecError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, CodecError> {
        self.array(what).map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self, what: &'static str) -> Result<u64, CodecError> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// Bytes after their length, which is at most `limit`.
    pub(crate) fn bytes(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], CodecError> {
        let len = self.len(what, limit)?;
        if len > self.0.len() {
            return Err(CodecError::Short { what });
        }
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self, what: &'static str, limit: usize) -> Result<String, CodecError> {
        let bytes = self.bytes(what, limit)?;
        let text = std::str::from_utf8(bytes).map_err(|_| CodecError::Text { what })?;
        Ok(text.to_owned())
    }

    /// The length of a list, at most `limit`.
    pub(crate) fn len(&mut self, what: &'static str, limit: usize) -> Result<usize, CodecError> {
        let value = u64::from(self.u32(what)?);
        match usize::try_from(value) {
            Ok(len) if len <= limit => Ok(len),
            _ => Err(CodecError::Value { what, value }),
        }
    }

    /// All that is left.
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) const fn end(self, what: &'static str) -> Result<(), CodecError> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(CodecError::Long { what, left }),
        }
    }
}

/// What [`Reader::bytes`] reads.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// What [`Reader::len`] reads. Everything that is written is within limits far below this type's.
pub(crate) fn put_len(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_be_bytes());
}
