//! Codes for the end of a link: one number for the peer, one sentence for the operator (`spec/wire.md`, section 6).

/// The side at fault for the end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// No side: links end.
    None,
    /// The receiver of the code broke a rule.
    Receiver,
    /// The sender of the code can't continue.
    Sender,
}

macro_rules! close_codes {
    ($($name:ident = $number:literal, $blame:ident, $advice:literal;)*) => {
        /// Reason for the end of a link. A number is never reused for another reason.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum CloseCode {
            $(#[doc = $advice] $name = $number,)*
        }

        impl CloseCode {
            /// All codes, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the code with this number, if this version knows it.
            pub fn from_number(number: u16) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| *code as u16 == number)
            }

            /// Returns the side at fault.
            pub const fn blame(self) -> Blame {
                match self { $(Self::$name => Blame::$blame,)* }
            }

            /// Returns a sentence of advice for the operator.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
}

close_codes! {
    Done = 0, None, "Nothing to do: the link was no longer needed.";
    ShuttingDown = 1, None, "Nothing to do: the peer stopped and the link comes back when it runs again.";
    Renew = 2, None, "Nothing to do: a new link takes over at once.";
    Replaced = 3, None, "Nothing to do: a newer link to the same device took over. If it goes on, run doctor: copies of one device may be running.";
    IdleTimeout = 4, None, "Check the network between the devices if it happens often.";
    Oneself = 5, None, "Remove the address: it leads back to the node that dialled it.";
    Malformed = 16, Receiver, "Update both devices; if it stays, report a bug with both versions.";
    TooLong = 17, Receiver, "Update both devices; if it stays, report a bug with both versions.";
    UnexpectedMessage = 18, Receiver, "Update both devices; if it stays, report a bug with both versions.";
    UnknownHandle = 19, Receiver, "Report a bug with both versions.";
    CreditOverrun = 20, Receiver, "Report a bug with both versions.";
    TooMuch = 21, Receiver, "Report a bug with both versions; a hostile peer does this too.";
    WrongSpace = 22, Receiver, "Report a bug; check whether the peer's device is trusted.";
    BadCard = 32, Receiver, "The peer's store is damaged or hostile: run doctor on it.";
    BadChain = 33, Receiver, "The peer's store is damaged or hostile: run doctor on it.";
    BadSignature = 34, Receiver, "The peer's store is damaged or hostile: run doctor on it.";
    NotAdmitted = 35, Receiver, "Ask an admin of the space to admit the device.";
    Revoked = 36, Receiver, "The device was removed: join again with a new invite.";
    VersionMismatch = 48, Receiver, "Update the older of the two devices.";
    HandshakeFailed = 49, Receiver, "Check that the invite or peer entry names the right device.";
    Overloaded = 64, Sender, "Wait: the peer sheds load and the link is tried again later.";
    StoreFailed = 65, Sender, "Look at the peer's log: its disk is full or failing.";
    Internal = 66, Sender, "Report a bug with the peer's log.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_and_round_trip() {
        assert!(CloseCode::ALL.windows(2).all(|pair| (pair[0] as u16) < pair[1] as u16));
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_number(*code as u16), Some(*code));
        }
        assert_eq!(CloseCode::from_number(9_999), None);
    }
}
