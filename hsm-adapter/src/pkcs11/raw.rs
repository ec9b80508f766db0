//! The function list of a PKCS#11 module: the only unsafe code of the product.
//!
//! One table serves every call. A second one beside it (that of a safe wrapper, say) would be a second
//! initialisation on modules that hand out a table with state of its own, as p11-kit's do. It also keeps a signature,
//! a wrap and a decryption at one call less than the query for the length would need.
//!
//! Templates, parameters and return values are cryptoki's types; only the calls are made here.
#![expect(
    unsafe_code,
    reason = "calls into a C library through its function list"
)]

use std::{
    collections::BTreeMap,
    mem,
    path::Path,
    ptr::{self, null_mut},
    sync::{Mutex, PoisonError},
};

use cryptoki::{
    error::{Rv, RvError},
    mechanism::Mechanism,
    object::Attribute,
};
use cryptoki_sys::{
    CK_ATTRIBUTE, CK_ATTRIBUTE_TYPE, CK_BBOOL, CK_C_INITIALIZE_ARGS, CK_FUNCTION_LIST, CK_INFO,
    CK_MECHANISM, CK_MECHANISM_TYPE, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_SESSION_INFO,
    CK_SLOT_ID, CK_TOKEN_INFO, CK_TRUE, CK_ULONG, CKF_ERROR_STATE, CKF_OS_LOCKING_OK,
    CKF_RW_SESSION, CKF_SERIAL_SESSION, CKR_FUNCTION_NOT_SUPPORTED, CKS_RO_USER_FUNCTIONS,
    CKS_RW_USER_FUNCTIONS, CKU_USER,
};
use zeroize::Zeroizing;

/// A call that did not end with `CKR_OK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) call: &'static str,
    pub(super) code: RvError,
}

/// Room for a wrapped key, a signature or an attribute: RSA-4096 wrapped takes 2384 octets.
const BUFFER: usize = 4096;

/// A loaded module. It stays loaded for the life of the process.
pub(super) struct Library {
    functions: CK_FUNCTION_LIST,
    calls: Mutex<BTreeMap<&'static str, u64>>,
}

/// Calls a function of the list, counts it, and turns its code into a result.
macro_rules! call {
    ($library:expr, $name:ident ( $($argument:expr),* $(,)? )) => {{
        let code = match $library.functions.$name {
            // SAFETY: the function comes from the module's own list and has the type the standard gives it. Every
            // pointer passed below is null or points to a live value of the length passed with it, which the module
            // reads or fills during the call and does not keep.
            Some(function) => unsafe { function($($argument),*) },
            None => CKR_FUNCTION_NOT_SUPPORTED,
        };
        $library.counted(stringify!($name), code)
    }};
}

/// What a token says of itself.
pub(super) struct TokenInfo {
    pub(super) label: String,
    pub(super) serial: String,
    /// CKF_ERROR_STATE: tampered with, or failed its self-test.
    pub(super) failed: bool,
    /// All of it.
    pub(super) whole: CK_TOKEN_INFO,
}

/// A text of fixed width, without what fills it.
pub(super) fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets)
        .trim_end_matches([' ', '\0'])
        .to_owned()
}

impl Library {
    /// Loads a module and asks for its function list; nothing is initialised yet.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        // SAFETY: loading runs the library's initialisers. The path is the operator's, who trusts the module with every
        // key of the slot.
        let library =
            unsafe { cryptoki_sys::Pkcs11::new(path) }.map_err(|error| error.to_string())?;
        let Ok(function_list) = &library.C_GetFunctionList else {
            return Err("it has no C_GetFunctionList".to_owned());
        };
        let mut list = null_mut();
        // SAFETY: the symbol has the standard's type; `list` outlives the call.
        let code = unsafe { function_list(&mut list) };
        if let Rv::Error(code) = Rv::from(code) {
            return Err(format!("C_GetFunctionList: {code:?}"));
        }
        if list.is_null() {
            return Err("C_GetFunctionList gave no list".to_owned());
        }
        // SAFETY: not null, and valid as long as the library is loaded. Versions 2.x and 3.x share this part.
        let functions = unsafe { *list };
        // The functions must stay valid: the library is never unloaded.
        mem::forget(library);
        Ok(Self {
            functions,
            calls: Mutex::default(),
        })
    }

    fn counted(&self, call: &'static str, code: CK_RV) -> Result<(), Failure> {
        *self
            .calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(call)
            .or_default() += 1;
        match Rv::from(code) {
            Rv::Ok => Ok(()),
            Rv::Error(code) => Err(Failure { call, code }),
        }
    }

    /// How often each function was called.
    pub(super) fn calls(&self) -> BTreeMap<&'static str, u64> {
        self.calls
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// `C_Initialize` for many threads.
    pub(super) fn initialize(&self) -> Result<(), Failure> {
        let mut arguments = CK_C_INITIALIZE_ARGS {
            flags: CKF_OS_LOCKING_OK,
            ..Default::default()
        };
        call!(self, C_Initialize(ptr::from_mut(&mut arguments).cast()))
    }

    /// `C_Finalize`: no session may be open, no call under way.
    pub(super) fn finalize(&self) -> Result<(), Failure> {
        call!(self, C_Finalize(null_mut()))
    }

    /// The slots that hold a token.
    pub(super) fn slots(&self) -> Result<Vec<CK_SLOT_ID>, Failure> {
        let mut count = 0;
        call!(self, C_GetSlotList(CK_TRUE, null_mut(), &mut count))?;
        let mut slots = vec![0; count as usize];
        call!(self, C_GetSlotList(CK_TRUE, slots.as_mut_ptr(), &mut count))?;
        slots.truncate(count as usize);
        Ok(slots)
    }

    /// What the token in a slot says of itself.
    pub(super) fn token(&self, slot: CK_SLOT_ID) -> Result<TokenInfo, Failure> {
        let mut info = CK_TOKEN_INFO::default();
        call!(self, C_GetTokenInfo(slot, &mut info))?;
        Ok(TokenInfo {
            label: text(&info.label),
            serial: text(&info.serialNumber),
            failed: info.flags & CKF_ERROR_STATE != 0,
            whole: info,
        })
    }

    /// What the library says of itself.
    pub(super) fn info(&self) -> Result<CK_INFO, Failure> {
        let mut info = CK_INFO::default();
        call!(self, C_GetInfo(&mut info))?;
        Ok(info)
    }

    /// The mechanisms of the token in a slot.
    pub(super) fn mechanisms(&self, slot: CK_SLOT_ID) -> Result<Vec<CK_MECHANISM_TYPE>, Failure> {
        let mut count = 0;
        call!(self, C_GetMechanismList(slot, null_mut(), &mut count))?;
        let mut mechanisms = vec![0; count as usize];
        call!(
            self,
            C_GetMechanismList(slot, mechanisms.as_mut_ptr(), &mut count)
        )?;
        mechanisms.truncate(count as usize);
        Ok(mechanisms)
    }

    /// Opens a read/write session.
    pub(super) fn open(&'static self, slot: CK_SLOT_ID) -> Result<Session, Failure> {
        let mut handle = 0;
        call!(
            self,
            C_OpenSession(
                slot,
                CKF_SERIAL_SESSION | CKF_RW_SESSION,
                null_mut(),
                None,
                &mut handle
            )
        )?;
        Ok(Session {
            library: self,
            handle,
        })
    }
}

/// An open session, closed when dropped. `&mut self` everywhere: one operation at a time, on one thread at a time
/// (SoftHSM crashes when two threads use one session).
pub(super) struct Session {
    library: &'static Library,
    handle: CK_SESSION_HANDLE,
}

impl Drop for Session {
    fn drop(&mut self) {
        let closed = call!(self.library, C_CloseSession(self.handle));
        if let Err(failure) = closed {
            tracing::debug!(?failure, "a session did not close");
        }
    }
}

impl Session {
    /// Logs the user in, for every session of this token.
    pub(super) fn login(&mut self, pin: &str) -> Result<(), Failure> {
        call!(
            self.library,
            C_Login(
                self.handle,
                CKU_USER,
                pin.as_ptr().cast_mut(),
                length(pin.as_bytes())
            )
        )
    }

    /// Whether the session is alive and the user logged in.
    pub(super) fn logged_in(&mut self) -> bool {
        let mut info = CK_SESSION_INFO::default();
        call!(self.library, C_GetSessionInfo(self.handle, &mut info)).is_ok()
            && matches!(info.state, CKS_RO_USER_FUNCTIONS | CKS_RW_USER_FUNCTIONS)
    }

    /// Makes a secret key.
    pub(super) fn generate_key(
        &mut self,
        mechanism: &Mechanism<'_>,
        template: &[Attribute],
    ) -> Result<CK_OBJECT_HANDLE, Failure> {
        let (mut mechanism, mut template) = (CK_MECHANISM::from(mechanism), raw(template));
        let mut key = 0;
        call!(
            self.library,
            C_GenerateKey(
                self.handle,
                &mut mechanism,
                template.as_mut_ptr(),
                length(&template),
                &mut key
            )
        )?;
        Ok(key)
    }

    /// Makes a key pair: the public and the private key.
    pub(super) fn generate_pair(
        &mut self,
        mechanism: &Mechanism<'_>,
        public: &[Attribute],
        private: &[Attribute],
    ) -> Result<(CK_OBJECT_HANDLE, CK_OBJECT_HANDLE), Failure> {
        let mut mechanism = CK_MECHANISM::from(mechanism);
        let (mut public, mut private) = (raw(public), raw(private));
        let (mut public_key, mut private_key) = (0, 0);
        call!(
            self.library,
            C_GenerateKeyPair(
                self.handle,
                &mut mechanism,
                public.as_mut_ptr(),
                length(&public),
                private.as_mut_ptr(),
                length(&private),
                &mut public_key,
                &mut private_key,
            )
        )?;
        Ok((public_key, private_key))
    }

    /// Derives a key.
    pub(super) fn derive(
        &mut self,
        mechanism: &Mechanism<'_>,
        base: CK_OBJECT_HANDLE,
        template: &[Attribute],
    ) -> Result<CK_OBJECT_HANDLE, Failure> {
        let (mut mechanism, mut template) = (CK_MECHANISM::from(mechanism), raw(template));
        let mut key = 0;
        call!(
            self.library,
            C_DeriveKey(
                self.handle,
                &mut mechanism,
                base,
                template.as_mut_ptr(),
                length(&template),
                &mut key
            )
        )?;
        Ok(key)
    }

    /// Wraps a key with a mechanism given by its number.
    pub(super) fn wrap(
        &mut self,
        mechanism: CK_MECHANISM_TYPE,
        kek: CK_OBJECT_HANDLE,
        key: CK_OBJECT_HANDLE,
    ) -> Result<Vec<u8>, Failure> {
        let (mut blob, mut size) = buffer();
        call!(
            self.library,
            C_WrapKey(
                self.handle,
                &mut bare(mechanism),
                kek,
                key,
                blob.as_mut_ptr(),
                &mut size
            )
        )?;
        blob.truncate(size as usize);
        Ok(blob)
    }

    /// Unwraps a key with a mechanism given by its number.
    pub(super) fn unwrap(
        &mut self,
        mechanism: CK_MECHANISM_TYPE,
        kek: CK_OBJECT_HANDLE,
        blob: &[u8],
        template: &[Attribute],
    ) -> Result<CK_OBJECT_HANDLE, Failure> {
        let mut template = raw(template);
        let mut key = 0;
        call!(
            self.library,
            C_UnwrapKey(
                self.handle,
                &mut bare(mechanism),
                kek,
                blob.as_ptr().cast_mut(),
                length(blob),
                template.as_mut_ptr(),
                length(&template),
                &mut key,
            )
        )?;
        Ok(key)
    }

    /// Imports an object.
    pub(super) fn create(&mut self, template: &[Attribute]) -> Result<CK_OBJECT_HANDLE, Failure> {
        let mut template = raw(template);
        let mut object = 0;
        call!(
            self.library,
            C_CreateObject(
                self.handle,
                template.as_mut_ptr(),
                length(&template),
                &mut object
            )
        )?;
        Ok(object)
    }

    /// Destroys an object.
    pub(super) fn destroy(&mut self, object: CK_OBJECT_HANDLE) -> Result<(), Failure> {
        call!(self.library, C_DestroyObject(self.handle, object))
    }

    /// Finds objects.
    pub(super) fn find(
        &mut self,
        template: &[Attribute],
    ) -> Result<Vec<CK_OBJECT_HANDLE>, Failure> {
        let mut template = raw(template);
        call!(
            self.library,
            C_FindObjectsInit(self.handle, template.as_mut_ptr(), length(&template))
        )?;
        let mut found = Vec::new();
        let searched = loop {
            let mut some: [CK_OBJECT_HANDLE; 64] = [0; 64];
            let mut count = 0;
            let searched = call!(
                self.library,
                C_FindObjects(self.handle, some.as_mut_ptr(), length(&some), &mut count)
            );
            found.extend(some.iter().take(count as usize));
            if searched.is_err() || (count as usize) < some.len() {
                break searched;
            }
        };
        call!(self.library, C_FindObjectsFinal(self.handle))?;
        searched?;
        Ok(found)
    }

    /// Boolean attributes of an object, in one call; `None` for one that the object does not have.
    pub(super) fn flags<const N: usize>(
        &mut self,
        object: CK_OBJECT_HANDLE,
        types: [CK_ATTRIBUTE_TYPE; N],
    ) -> Result<[Option<bool>; N], Failure> {
        let mut values = [CK_BBOOL::default(); N];
        let mut template: Vec<_> = types
            .into_iter()
            .zip(&mut values)
            .map(|(kind, value)| CK_ATTRIBUTE {
                type_: kind,
                pValue: ptr::from_mut(value).cast(),
                ulValueLen: size_of::<CK_BBOOL>() as CK_ULONG,
            })
            .collect();
        let read = call!(
            self.library,
            C_GetAttributeValue(
                self.handle,
                object,
                template.as_mut_ptr(),
                length(&template)
            )
        );
        match read {
            Ok(())
            | Err(Failure {
                code: RvError::AttributeTypeInvalid,
                ..
            }) => {}
            Err(failure) => return Err(failure),
        }
        let mut present = template
            .iter()
            .map(|attribute| attribute.ulValueLen == size_of::<CK_BBOOL>() as CK_ULONG)
            .collect::<Vec<_>>()
            .into_iter();
        Ok(values.map(|value| (present.next() == Some(true)).then_some(value == CK_TRUE)))
    }

    /// The octets of an attribute.
    pub(super) fn value(
        &mut self,
        object: CK_OBJECT_HANDLE,
        kind: CK_ATTRIBUTE_TYPE,
    ) -> Result<Vec<u8>, Failure> {
        let (mut value, size) = buffer();
        let mut attribute = CK_ATTRIBUTE {
            type_: kind,
            pValue: value.as_mut_ptr().cast(),
            ulValueLen: size,
        };
        call!(
            self.library,
            C_GetAttributeValue(self.handle, object, &mut attribute, 1)
        )?;
        value.truncate(attribute.ulValueLen as usize);
        Ok(value)
    }

    /// First of the two calls of a signature: nothing is signed yet.
    pub(super) fn sign_init(
        &mut self,
        mechanism: &Mechanism<'_>,
        key: CK_OBJECT_HANDLE,
    ) -> Result<(), Failure> {
        call!(
            self.library,
            C_SignInit(self.handle, &mut CK_MECHANISM::from(mechanism), key)
        )
    }

    /// Second of the two calls of a signature.
    pub(super) fn sign(&mut self, data: &[u8]) -> Result<Vec<u8>, Failure> {
        let (mut signature, mut size) = buffer();
        call!(
            self.library,
            C_Sign(
                self.handle,
                data.as_ptr().cast_mut(),
                length(data),
                signature.as_mut_ptr(),
                &mut size
            )
        )?;
        signature.truncate(size as usize);
        Ok(signature)
    }

    /// Verifies a signature; a wrong one is a failure with `CKR_SIGNATURE_INVALID` or `CKR_SIGNATURE_LEN_RANGE`.
    pub(super) fn verify(
        &mut self,
        mechanism: &Mechanism<'_>,
        key: CK_OBJECT_HANDLE,
        data: &[u8],
        signature: &[u8],
    ) -> Result<(), Failure> {
        call!(
            self.library,
            C_VerifyInit(self.handle, &mut CK_MECHANISM::from(mechanism), key)
        )?;
        call!(
            self.library,
            C_Verify(
                self.handle,
                data.as_ptr().cast_mut(),
                length(data),
                signature.as_ptr().cast_mut(),
                length(signature)
            )
        )
    }

    /// Encrypts; the output is at most [`BUFFER`] longer than the input.
    pub(super) fn encrypt(
        &mut self,
        mechanism: &Mechanism<'_>,
        key: CK_OBJECT_HANDLE,
        plain: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        call!(
            self.library,
            C_EncryptInit(self.handle, &mut CK_MECHANISM::from(mechanism), key)
        )?;
        let mut output = vec![0; plain.len() + BUFFER];
        let mut size = length(&output);
        call!(
            self.library,
            C_Encrypt(
                self.handle,
                plain.as_ptr().cast_mut(),
                length(plain),
                output.as_mut_ptr(),
                &mut size
            )
        )?;
        output.truncate(size as usize);
        Ok(output)
    }

    /// Decrypts.
    pub(super) fn decrypt(
        &mut self,
        mechanism: &Mechanism<'_>,
        key: CK_OBJECT_HANDLE,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        call!(
            self.library,
            C_DecryptInit(self.handle, &mut CK_MECHANISM::from(mechanism), key)
        )?;
        let mut output = Zeroizing::new(vec![0; sealed.len()]);
        let mut size = length(&output);
        call!(
            self.library,
            C_Decrypt(
                self.handle,
                sealed.as_ptr().cast_mut(),
                length(sealed),
                output.as_mut_ptr(),
                &mut size
            )
        )?;
        output.truncate(size as usize);
        Ok(output)
    }

    /// Random octets of the token.
    pub(super) fn random(&mut self, octets: &mut [u8]) -> Result<(), Failure> {
        call!(
            self.library,
            C_GenerateRandom(self.handle, octets.as_mut_ptr(), length(octets))
        )
    }
}

fn length<T>(items: &[T]) -> CK_ULONG {
    items.len() as CK_ULONG
}

fn buffer() -> (Vec<u8>, CK_ULONG) {
    (vec![0; BUFFER], BUFFER as CK_ULONG)
}

fn bare(mechanism: CK_MECHANISM_TYPE) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism,
        pParameter: null_mut(),
        ulParameterLen: 0,
    }
}

/// The attributes as the module reads them: pointers into `template`, which the caller keeps.
fn raw(template: &[Attribute]) -> Vec<CK_ATTRIBUTE> {
    template.iter().map(CK_ATTRIBUTE::from).collect()
}
