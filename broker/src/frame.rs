//! The fixed header: how long a packet is, before any of it is kept.

use crate::violation::Violation;

/// Where one packet lies at the start of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Type and flags.
    pub(crate) control: u8,
    /// Bytes of the fixed header.
    pub(crate) header_len: usize,
    /// Bytes of the whole packet.
    pub(crate) total_len: usize,
}

/// Read the fixed header, if all of it has come. A length over `max` is refused here, when only
/// the header has been received.
pub(crate) fn frame(buffer: &[u8], max: usize) -> Result<Option<Frame>, Violation> {
    let Some((&control, rest)) = buffer.split_first() else {
        return Ok(None);
    };
    let mut remaining = 0usize;
    for (index, &byte) in rest.iter().take(4).enumerate() {
        remaining |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let header_len = 2 + index;
            let total_len = header_len + remaining;
            if total_len > max {
                return Err(Violation::TooLarge);
            }
            return Ok(Some(Frame {
                control,
                header_len,
                total_len,
            }));
        }
    }
    // Four bytes that all say "more follows" are no length at all.
    if rest.len() >= 4 {
        Err(Violation::Malformed)
    } else {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: Result<Option<(usize, usize)>, Violation>) {
        let got = frame(bytes, 300).map(|f| f.map(|f| (f.header_len, f.total_len)));
        assert_eq!(got, expected, "{bytes:x?}");
    }

    #[test]
    fn lengths() {
        check(&[], Ok(None));
        check(&[0x30], Ok(None));
        check(&[0x30, 0], Ok(Some((2, 2))));
        check(&[0x30, 0x80], Ok(None));
        check(&[0x30, 0x80, 1], Ok(Some((3, 131))));
        check(&[0x30, 0xff, 0xff, 0xff, 0x7f], Err(Violation::TooLarge));
        check(&[0x30, 0xff, 0xff, 0xff], Ok(None));
        check(&[0x30, 0xff, 0xff, 0xff, 0xff], Err(Violation::Malformed));
    }
}
