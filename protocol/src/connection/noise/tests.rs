use super::*;
use serde_json::Value;

/// The resolver of this crate, with an ephemeral key from a vector in place of the random one.
struct Fixed {
    ephemeral: Vec<u8>,
}

impl Random for Fixed {
    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), snow::Error> {
        into.copy_from_slice(&self.ephemeral);
        Ok(())
    }
}

impl CryptoResolver for Fixed {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Self { ephemeral: self.ephemeral.clone() }))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        plain().resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        plain().resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        plain().resolve_cipher(choice)
    }
}

fn plain() -> Resolver {
    Resolver { entropy: Entropy::new([0; 32]) }
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

fn start(vector: &Value, side: &str) -> snow::HandshakeState {
    let field = |name: &str| &vector[format!("{side}_{name}")];
    let name = vector["protocol_name"].as_str().unwrap();
    let positions: Vec<u8> = name
        .split('_')
        .nth(1)
        .unwrap()
        .match_indices("psk")
        .map(|(at, _)| name.as_bytes()["Noise_".len() + at + 3] - b'0')
        .collect();
    let psks: Vec<[u8; 32]> =
        field("psks").as_array().into_iter().flatten().map(|psk| hex(psk).try_into().unwrap()).collect();
    assert_eq!(psks.len(), positions.len(), "{name}");
    let (secret, prologue) = (hex(field("static")), hex(field("prologue")));
    let resolver = Fixed { ephemeral: hex(field("ephemeral")) };
    let mut builder = Builder::with_resolver(name.parse().unwrap(), Box::new(resolver))
        .prologue(&prologue)
        .unwrap()
        .local_private_key(&secret)
        .unwrap();
    for (position, psk) in positions.iter().zip(&psks) {
        builder = builder.psk(*position, psk).unwrap();
    }
    if side == "init" { builder.build_initiator().unwrap() } else { builder.build_responder().unwrap() }
}

#[test]
fn published_vectors_hold() {
    let file: Value = serde_json::from_str(include_str!("../vectors/noise.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 4);
    for vector in vectors {
        let (mut initiator, mut responder) = (start(vector, "init"), start(vector, "resp"));
        let messages = vector["messages"].as_array().unwrap();
        let mut buffer = [0; 1024];
        let mut payload = [0; 1024];
        for (at, message) in messages[..3].iter().enumerate() {
            let (from, to) =
                if at % 2 == 0 { (&mut initiator, &mut responder) } else { (&mut responder, &mut initiator) };
            let length = from.write_message(&hex(&message["payload"]), &mut buffer).unwrap();
            assert_eq!(buffer[..length], hex(&message["ciphertext"]), "message {at}");
            let length = to.read_message(&buffer[..length], &mut payload).unwrap();
            assert_eq!(payload[..length], hex(&message["payload"]));
        }
        if vector["handshake_hash"].is_string() {
            assert_eq!(initiator.get_handshake_hash(), hex(&vector["handshake_hash"]));
        }
        let (mut initiator, mut responder) =
            (initiator.into_transport_mode().unwrap(), responder.into_transport_mode().unwrap());
        for (at, message) in messages[3..].iter().enumerate() {
            let (from, to) =
                if at % 2 == 1 { (&mut initiator, &mut responder) } else { (&mut responder, &mut initiator) };
            let length = from.write_message(&hex(&message["payload"]), &mut buffer).unwrap();
            assert_eq!(buffer[..length], hex(&message["ciphertext"]), "sealed message {at}");
            let length = to.read_message(&buffer[..length], &mut payload).unwrap();
            assert_eq!(payload[..length], hex(&message["payload"]));
        }
    }
}

#[test]
fn keys_of_a_handshake_are_drawn_from_its_entropy() {
    let mut drawn = [0; 32];
    Draws(Entropy::new([1; 32])).try_fill_bytes(&mut drawn).expect("entropy never fails");
    assert_eq!(drawn, Entropy::new([1; 32]).bytes::<32>());
}

#[test]
fn agreeing_with_a_weak_key_fails() {
    let mut shared = [0; 32];
    assert!(X25519::new([7; 32]).dh(&[0; 32], &mut shared).is_err());
}

/// RFC 8439, section 2.8.2, cannot be reached: Noise fixes the first four bytes of the nonce to zero. Instead, the
/// two implementations are compared, and the vectors above hold for either.
#[cfg(feature = "native-crypto")]
#[test]
fn both_implementations_of_the_cipher_give_the_same_bytes() {
    let mut entropy = Entropy::new([5; 32]);
    let (mut ring, mut portable) = (ring_backed::ChaChaPoly::default(), portable::ChaChaPoly::default());
    for length in (0..200).chain([1000, 4096, 65_519]) {
        let (key, nonce) = (entropy.bytes(), u64::from_le_bytes(entropy.bytes()));
        ring.set(&key);
        portable.set(&key);
        let (aad, plaintext) = (entropy.bytes::<32>(), entropy.bytes::<1>().repeat(length));
        let (mut a, mut b) = (vec![0; length + TAG_BYTES], vec![0; length + TAG_BYTES]);
        ring.encrypt(nonce, &aad, &plaintext, &mut a);
        portable.encrypt(nonce, &aad, &plaintext, &mut b);
        assert_eq!(a, b);
        let mut opened = vec![0; length];
        assert_eq!(ring.decrypt(nonce, &aad, &b, &mut opened), Ok(length));
        assert_eq!(opened, plaintext);
        ring.rekey();
        portable.rekey();
        ring.encrypt(0, &aad, &plaintext, &mut a);
        portable.encrypt(0, &aad, &plaintext, &mut b);
        assert_eq!(a, b);
        b[0] ^= 1;
        assert!(ring.decrypt(0, &aad, &b, &mut opened).is_err());
        assert!(portable.decrypt(0, &aad, &b, &mut opened).is_err());
    }
}
