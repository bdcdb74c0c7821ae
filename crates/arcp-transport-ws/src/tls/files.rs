//! Settings of TLS from files in PEM: whom to trust, and who one is. What is wrong with a file is said with its name.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

#[cfg(feature = "server")]
use rustls::server::{NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};
use rustls::{
    ClientConfig, ConfigBuilder, ConfigSide, Error, InconsistentKeys, RootCertStore, WantsVerifier,
    WantsVersions,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// What is at fault where no file is.
const THIS_MACHINE: &str = "what this machine has for TLS";

/// A certificate with those of its authorities but the root, and its private key: two files in PEM.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// The certificate first, and then those that sign it.
    pub certificates: &'a Path,
    /// The key, in PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub key: &'a Path,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct FileError {
    /// Which file it is; words where it is what this machine has, and no file that was named.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: FileProblem,
}

/// See [`FileError`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// It is a directory, a pipe, a device or a socket. Reading from one of these may never end.
    #[error("is not a regular file")]
    NotAFile,
    /// It is larger than 1 MiB, which is several times as much as all the authorities that a system trusts.
    #[error("is larger than 1 MiB, and is not read")]
    TooLarge,
    /// It is not text in PEM, or is cut off.
    #[error("is not PEM as it should be: a part of it is cut off, or no base64")]
    Malformed(#[source] pem::Error),
    /// There is no certificate in it.
    #[error("has no certificate in it: a PEM file with BEGIN CERTIFICATE is needed")]
    NoCertificate,
    /// There is no private key in it that can be read.
    #[error("has no private key in it: a PEM file with BEGIN PRIVATE KEY is needed, which is not encrypted")]
    NoKey,
    /// The key is not that of the certificate.
    #[error("is not the key of the certificate in {}", .0.display())]
    OtherKey(PathBuf),
    /// A certificate or key in it cannot be used.
    #[error("cannot be used: {0}")]
    Unusable(rustls::Error),
}

/// A client configuration that trusts the authorities in a file, or those that this machine trusts, and shows a certificate if
/// it has one, with TLS 1.2 and 1.3: for [`WsConnector::with_tls_config`](crate::WsConnector::with_tls_config).
///
/// Reads regular files of up to 1 MiB, and blocks meanwhile.
///
/// # Errors
///
/// What is wrong with a file, or, without one of authorities, with what the machine trusts.
pub fn client(
    authorities: Option<&Path>,
    identity: Option<Identity<'_>>,
) -> Result<Arc<ClientConfig>, FileError> {
    let builder = versions(ClientConfig::builder_with_provider)?;
    let builder = match authorities {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder.with_platform_verifier().map_err(|error| unusable(Path::new(THIS_MACHINE), error))?,
    };
    let Some(identity) = identity else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let (chain, key) = identity.read()?;
    let config = builder.with_client_auth_cert(chain, key).map_err(|error| identity.refused(error))?;
    Ok(Arc::new(config))
}

/// A server configuration that shows a certificate, and offers `http/1.1`, with TLS 1.2 and 1.3. With a file of authorities, only
/// clients are let in that show a certificate of one of those, in each connection anew.
///
/// Reads regular files of up to 1 MiB, and blocks meanwhile: a server that reads them again while it serves does so on a thread for that,
/// such as one of `tokio::task::spawn_blocking`.
///
/// # Errors
///
/// What is wrong with a file.
#[cfg(feature = "server")]
pub fn server(
    identity: Identity<'_>,
    client_authorities: Option<&Path>,
) -> Result<Arc<ServerConfig>, FileError> {
    let builder = versions(ServerConfig::builder_with_provider)?;
    let builder = match client_authorities {
        Some(path) => {
            let provider = Arc::new(aws_lc_rs::default_provider());
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider).build();
            builder.with_client_cert_verifier(
                verifier.map_err(|error| unusable(path, Error::General(error.to_string())))?,
            )
        }
        None => builder.with_no_client_auth(),
    };
    let (chain, key) = identity.read()?;
    let mut config = builder.with_single_cert(chain, key).map_err(|error| identity.refused(error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if client_authorities.is_some() {
        // What is resumed shows no certificate, which may have expired meanwhile.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

fn versions<S: ConfigSide>(
    builder: impl FnOnce(Arc<rustls::crypto::CryptoProvider>) -> ConfigBuilder<S, WantsVersions>,
) -> Result<ConfigBuilder<S, WantsVerifier>, FileError> {
    let builder = builder(Arc::new(aws_lc_rs::default_provider()));
    builder.with_safe_default_protocol_versions().map_err(|error| unusable(Path::new(THIS_MACHINE), error))
}

impl Identity<'_> {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), FileError> {
        let chain = certificates(self.certificates)?;
        let text = read(self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
            let problem = match error {
                pem::Error::NoItemsFound => FileProblem::NoKey,
                error => FileProblem::Malformed(error),
            };
            at(self.key, problem)
        })?;
        Ok((chain, key))
    }

    /// Whose fault it is that certificate and key cannot be used together.
    fn refused(&self, error: Error) -> FileError {
        match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                at(self.key, FileProblem::OtherKey(self.certificates.to_owned()))
            }
            error @ Error::InvalidCertificate(_) => unusable(self.certificates, error),
            error => unusable(self.key, error),
        }
    }
}

fn roots(path: &Path) -> Result<RootCertStore, FileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(path, error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let text = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| at(path, FileProblem::Malformed(error)))?;
    if certificates.is_empty() { Err(at(path, FileProblem::NoCertificate)) } else { Ok(certificates) }
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let unreadable = |error| at(path, FileProblem::Unreadable(error));
    // Asked before it is opened, since that alone may wait for ever.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(at(path, FileProblem::NotAFile));
    }
    let mut text = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(unreadable)?;
    match text.len() as u64 {
        0..=MAX_BYTES => Ok(text),
        _ => Err(at(path, FileProblem::TooLarge)),
    }
}

fn unusable(path: &Path, error: Error) -> FileError {
    at(path, FileProblem::Unusable(error))
}

fn at(path: &Path, problem: FileProblem) -> FileError {
    FileError { path: path.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// Files that are gone with it.
    struct Files(PathBuf);

    impl Files {
        fn new(name: &str) -> Self {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
            let path = std::env::temp_dir().join(format!("arcp-tls-{name}-{}-{now}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn put(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn what_is_wrong_is_said_with_the_name_of_the_file() {
        let files = Files::new("wrong");
        let ((certificate, key), (_, other)) = (pair(), pair());
        let (certificate, key) = (files.put("cert.pem", &certificate), files.put("key.pem", &key));
        let other = files.put("other.pem", &other);
        let (empty, torn) =
            (files.put("empty.pem", "hello\n"), files.put("torn.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n"));
        let rubbish =
            files.put("rubbish.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let missing = files.0.join("missing.pem");
        let large = files.put("large.pem", &"\n".repeat((1 << 20) + 1));
        assert!(server(Identity { certificates: &certificate, key: &key }, Some(&certificate)).is_ok());
        assert!(client(Some(&certificate), Some(Identity { certificates: &certificate, key: &key })).is_ok());

        let cases = [
            (&missing, &key, "missing.pem: cannot be read: "),
            (&empty, &key, "empty.pem: has no certificate in it"),
            (&key, &key, "key.pem: has no certificate in it"),
            (&torn, &key, "torn.pem: is not PEM as it should be"),
            (&rubbish, &key, "rubbish.pem: cannot be used: "),
            (&files.0, &key, ": is not a regular file"),
            (&large, &key, "large.pem: is larger than 1 MiB"),
            (&certificate, &missing, "missing.pem: cannot be read: "),
            (&certificate, &files.0, ": is not a regular file"),
            (&certificate, &large, "large.pem: is larger than 1 MiB"),
            (&certificate, &empty, "empty.pem: has no private key in it"),
            (&certificate, &certificate, "cert.pem: has no private key in it"),
            (&certificate, &other, "other.pem: is not the key of the certificate in "),
        ];
        for (certificates, key, expected) in cases {
            let identity = Identity { certificates, key };
            let errors = [
                server(identity, None).unwrap_err(),
                client(Some(&certificate), Some(identity)).unwrap_err(),
            ];
            for error in errors {
                let error = error.to_string();
                assert!(error.contains(expected), "{expected}: {error}");
            }
        }
        for (authorities, expected) in [
            (&missing, "missing.pem: cannot be read: "),
            (&empty, "empty.pem: has no certificate in it"),
            (&rubbish, "rubbish.pem: cannot be used: "),
        ] {
            let identity = Identity { certificates: &certificate, key: &key };
            let error = server(identity, Some(authorities)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            let error = client(Some(authorities), None).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
