//! Hardware addresses: of one seed, no two devices share one, whichever client speaks for them.

use super::signal::Dice;

/// Room for the devices of one client.
const DEVICES_MAX: u64 = 1_024;
/// The last three bytes of an address.
const LOW_MASK: u64 = 0xFF_FFFF;
/// Any odd factor maps the numbers below 2^24 onto themselves, one to one.
const SCATTER: u64 = 0x9E_3779;

/// The address of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    low: u64,
}

impl Identity {
    /// The address of a client's device of that number.
    pub(super) fn new(seed: Dice, client: u64, number: u64) -> Identity {
        let offset = (seed.at(-9) * LOW_MASK as f64) as u64;
        let place = client.wrapping_mul(DEVICES_MAX).wrapping_add(number);
        let low = place.wrapping_mul(SCATTER).wrapping_add(offset) & LOW_MASK;
        Identity { low }
    }

    /// Twelve digits in capitals, as Tasmota writes a MAC.
    pub(super) fn mac(self) -> String {
        format!("A8032A{:06X}", self.low)
    }

    /// The last six digits in capitals.
    pub(super) fn short(self) -> String {
        format!("{:06X}", self.low)
    }

    /// The long address of a Zigbee device.
    pub(super) fn ieee(self) -> String {
        format!("0x00158d0007{:06x}", self.low)
    }

    /// The last two bytes.
    pub(super) fn low_u16(self) -> u16 {
        self.low as u16
    }

    /// An address in a home's network.
    pub(super) fn ip(self) -> String {
        format!("192.168.{}.{}", self.low >> 8 & 0x3F, 2 + self.low % 250)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_devices_of_a_seed_share_an_address() {
        let mut seen = HashSet::new();
        for client in 0..100 {
            for number in 0..300 {
                let identity = Identity::new(Dice::new(5), client, number);
                assert!(seen.insert(identity.mac()), "{identity:?}");
            }
        }
        let other = Identity::new(Dice::new(6), 0, 0);
        assert_ne!(other, Identity::new(Dice::new(5), 0, 0));
        assert_eq!(other.ieee().len(), 18);
    }
}
