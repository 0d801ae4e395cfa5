/// Bytes of the length before each body.
const LENGTH_BYTES: usize = 4;

/// Bytes that are no bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the last body is cut off")]
pub struct CutOff;

/// Write bodies one after the other, each behind its length as a little-endian `u32`, for as long as they stay within `bytes_max`;
/// the first one is always there. What is left out is asked for again with the next digest.
#[must_use]
pub fn write(bodies: &[Vec<u8>], bytes_max: usize) -> Vec<u8> {
    let mut frames = Vec::new();
    for body in bodies {
        let is_full = !frames.is_empty() && frames.len() + LENGTH_BYTES + body.len() > bytes_max;
        let Ok(length) = u32::try_from(body.len()) else {
            continue;
        };
        if is_full {
            break;
        }
        frames.extend_from_slice(&length.to_le_bytes());
        frames.extend_from_slice(body);
    }
    frames
}

/// Read bodies.
///
/// # Errors
/// The last one is cut off.
pub fn read(mut frames: &[u8]) -> Result<Vec<Vec<u8>>, CutOff> {
    let mut bodies = Vec::new();
    while !frames.is_empty() {
        let (length, rest) = frames.split_first_chunk().ok_or(CutOff)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| CutOff)?;
        let (body, rest) = rest.split_at_checked(length).ok_or(CutOff)?;
        bodies.push(body.to_vec());
        frames = rest;
    }
    Ok(bodies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_come_back_and_cut_ones_do_not() {
        let bodies = [b"one".to_vec(), Vec::new(), b"three".to_vec()];
        let frames = write(&bodies, 100);
        assert_eq!(read(&frames).expect("bodies"), bodies);
        assert_eq!(read(b""), Ok(Vec::new()));
        for length in [1, 3, 6, frames.len() - 1] {
            assert_eq!(read(&frames[..length]), Err(CutOff), "{length}");
        }
        assert_eq!(read(&[255, 255, 255, 255, 0]), Err(CutOff));
    }

    #[test]
    fn an_answer_is_bounded_and_never_empty() {
        let bodies = [vec![1; 50], vec![2; 50]];
        for (max, count) in [(0, 1), (107, 1), (108, 2)] {
            assert_eq!(
                read(&write(&bodies, max)).expect("bodies").len(),
                count,
                "{max}"
            );
        }
    }
}
