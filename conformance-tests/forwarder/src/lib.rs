//! A PKCS#11 module that passes every call on to another one, and does to it on the way what a file of rules says: the faults of
//! real devices, on command.
//!
//! `FORWARD_TO` is the path of the module behind it, `FORWARD_CONTROL` that of the rules, which [`rules`] explains. Rules are
//! looked at before each call; a test replaces the file by a rename. Without rules every call goes through.
#![expect(
    unsafe_code,
    reason = "a C library: it is called and calls through pointers"
)]

mod remembered;
mod rules;

use std::{
    env,
    path::PathBuf,
    process::abort,
    ptr::null_mut,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use cryptoki_sys::*;
use remembered::Remembered;
use rules::{Action, Control};

/// The module behind this one, and what to do on the way to it.
struct Forwarder {
    real: CK_FUNCTION_LIST,
    control: Control,
    remembered: Remembered,
}

static FORWARDER: OnceLock<Option<Forwarder>> = OnceLock::new();
static LIST: OnceLock<List> = OnceLock::new();

/// The list that callers get: it never changes, and they only read it.
struct List(CK_FUNCTION_LIST);
// SAFETY: function pointers and a version, read only.
unsafe impl Sync for List {}
// SAFETY: as above.
unsafe impl Send for List {}

/// The entry point of the standard.
///
/// # Safety
/// `list` points to room for a pointer, as PKCS#11 says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    let Some(forwarder) = forwarder() else {
        return CKR_GENERAL_ERROR;
    };
    if list.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    let ours = LIST.get_or_init(|| List(forwarding(forwarder.real)));
    // SAFETY: not null; the caller gave room for a pointer. Callers do not write through it.
    unsafe { *list = (&raw const ours.0).cast_mut() };
    CKR_OK
}

fn forwarder() -> Option<&'static Forwarder> {
    FORWARDER
        .get_or_init(|| {
            let path = PathBuf::from(env::var_os("FORWARD_TO")?);
            // SAFETY: whoever sets the variable trusts the module.
            let library = unsafe { cryptoki_sys::Pkcs11::new(path) }.ok()?;
            let mut list = null_mut();
            // SAFETY: the symbol has the type of the standard; `list` outlives the call.
            let code = unsafe { library.C_GetFunctionList.as_ref().ok()?(&mut list) };
            if code != CKR_OK || list.is_null() {
                return None;
            }
            // SAFETY: not null, and valid while the library is loaded: it is never unloaded.
            let real = unsafe { *list };
            std::mem::forget(library);
            Some(Forwarder {
                real,
                control: Control::new(env::var_os("FORWARD_CONTROL").map(PathBuf::from)),
                remembered: Remembered::default(),
            })
        })
        .as_ref()
}

impl Forwarder {
    /// A call, with what the rules do to it.
    fn through(&self, call: &'static str, real: impl FnOnce() -> CK_RV) -> CK_RV {
        let rules = self.control.rules(call);
        let mut answer = None;
        for action in rules.of(call) {
            match action {
                Action::Delay(time) => pause(time),
                Action::Hang => self.hang(&rules),
                Action::Crash => abort(),
                Action::Fail(code) => return code,
                Action::FailAfter(code) => answer = Some(code),
                Action::ForgetSessions => self.each_slot(|slot| {
                    // SAFETY: a number of a slot, as the module gave it.
                    self.real
                        .C_CloseAllSessions
                        .map(|close| unsafe { close(slot) });
                }),
                Action::ForgetLogin => self.each_slot(|slot| self.log_out(slot)),
                Action::Remember | Action::Without(_) => {}
            }
        }
        let code = real();
        answer.unwrap_or(code)
    }

    fn remembers(&self, call: &str) -> bool {
        self.control.look().remember(call)
    }

    /// Until the rules change.
    fn hang(&self, rules: &Arc<rules::Rules>) {
        while Arc::ptr_eq(rules, &self.control.look()) {
            pause(Duration::from_millis(2));
        }
    }

    fn each_slot(&self, act: impl Fn(CK_SLOT_ID)) {
        let mut slots = [0; 64];
        let mut count = slots.len() as CK_ULONG;
        if let Some(list) = self.real.C_GetSlotList {
            // SAFETY: room for `count` numbers.
            if unsafe { list(CK_TRUE, slots.as_mut_ptr(), &mut count) } == CKR_OK {
                slots
                    .iter()
                    .take(count as usize)
                    .for_each(|slot| act(*slot));
            }
        }
    }

    fn log_out(&self, slot: CK_SLOT_ID) {
        let (Some(open), Some(log_out), Some(close)) = (
            self.real.C_OpenSession,
            self.real.C_Logout,
            self.real.C_CloseSession,
        ) else {
            return;
        };
        let mut session = 0;
        // SAFETY: the session is this function's own; all pointers are null or live.
        unsafe {
            if open(slot, CKF_SERIAL_SESSION, null_mut(), None, &mut session) == CKR_OK {
                log_out(session);
                close(session);
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a slow device is what is played here"
)]
fn pause(time: Duration) {
    thread::sleep(time);
}

/// Signing as rules tell it: under `remember` the device works once for the same data under the same mechanism.
unsafe extern "C" fn sign_init(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    let Some((forwarder, real)) = forwarder().and_then(|f| Some((f, f.real.C_SignInit?))) else {
        return CKR_FUNCTION_NOT_SUPPORTED;
    };
    if !forwarder.remembers("C_Sign") {
        // SAFETY: the caller's own arguments.
        return forwarder.through("C_SignInit", || unsafe { real(session, mechanism, key) });
    }
    forwarder.through("C_SignInit", || {
        // SAFETY: the caller's mechanism is valid during the call.
        unsafe { forwarder.remembered.begin(session, mechanism, key) };
        CKR_OK
    })
}

unsafe extern "C" fn sign(
    session: CK_SESSION_HANDLE,
    data: *mut CK_BYTE,
    length: CK_ULONG,
    signature: *mut CK_BYTE,
    room: *mut CK_ULONG,
) -> CK_RV {
    let Some((forwarder, init, real)) =
        forwarder().and_then(|f| Some((f, f.real.C_SignInit?, f.real.C_Sign?)))
    else {
        return CKR_FUNCTION_NOT_SUPPORTED;
    };
    forwarder.through("C_Sign", || {
        let Some(mut begun) = forwarder.remembered.take(session) else {
            // SAFETY: the caller's own arguments.
            return unsafe { real(session, data, length, signature, room) };
        };
        // SAFETY: the caller gave `length` octets of data.
        let input = unsafe { std::slice::from_raw_parts(data, length as usize) };
        if let Some(known) = forwarder.remembered.find(&begun, input) {
            // SAFETY: the caller gave room for `*room` octets.
            return unsafe { remembered::give(&known, signature, room) };
        }
        // SAFETY: the mechanism was copied with its parameters; the rest are the caller's own arguments.
        unsafe {
            let code = init(session, &mut begun.mechanism(), begun.key);
            if code != CKR_OK {
                return code;
            }
            let code = real(session, data, length, signature, room);
            if code == CKR_OK {
                let made = std::slice::from_raw_parts(signature, *room as usize);
                forwarder.remembered.keep(begun, input, made);
            }
            code
        }
    })
}

/// The mechanisms, but for those that rules leave out.
unsafe extern "C" fn mechanism_list(
    slot: CK_SLOT_ID,
    list: *mut CK_MECHANISM_TYPE,
    count: *mut CK_ULONG,
) -> CK_RV {
    let Some((forwarder, real)) = forwarder().and_then(|f| Some((f, f.real.C_GetMechanismList?)))
    else {
        return CKR_FUNCTION_NOT_SUPPORTED;
    };
    // SAFETY: the caller's own arguments.
    let code = forwarder.through("C_GetMechanismList", || unsafe { real(slot, list, count) });
    if code != CKR_OK || list.is_null() || count.is_null() {
        return code;
    }
    let rules = forwarder.control.look();
    // SAFETY: the module has filled `*count` numbers of what the caller gave room for.
    let (numbers, count) = unsafe {
        (
            std::slice::from_raw_parts_mut(list, *count as usize),
            &mut *count,
        )
    };
    let kept: Vec<_> = numbers
        .iter()
        .copied()
        .filter(|mechanism| !rules.without("C_GetMechanismList", *mechanism))
        .collect();
    for (number, mechanism) in numbers.iter_mut().zip(&kept) {
        *number = *mechanism;
    }
    *count = kept.len() as CK_ULONG;
    code
}

/// Functions that pass their arguments on, and the list with them in the place of the module's own.
macro_rules! forward {
    ($($name:ident($($argument:ident: $kind:ty),*);)*) => {
        $(
            #[expect(non_snake_case, reason = "named as in the standard")]
            unsafe extern "C" fn $name($($argument: $kind),*) -> CK_RV {
                match forwarder().and_then(|forwarder| Some((forwarder, forwarder.real.$name?))) {
                    // SAFETY: the caller's own arguments, to the function they were meant for.
                    Some((forwarder, real)) => forwarder.through(stringify!($name), || unsafe { real($($argument),*) }),
                    None => CKR_FUNCTION_NOT_SUPPORTED,
                }
            }
        )*
        fn forwarding(real: CK_FUNCTION_LIST) -> CK_FUNCTION_LIST {
            CK_FUNCTION_LIST {
                C_GetFunctionList: Some(C_GetFunctionList),
                C_GetMechanismList: Some(mechanism_list),
                C_SignInit: Some(sign_init),
                C_Sign: Some(sign),
                $($name: Some($name),)*
                ..real
            }
        }
    };
}

type Bytes = *mut CK_BYTE;
type Length = *mut CK_ULONG;
type Session = CK_SESSION_HANDLE;
type Object = CK_OBJECT_HANDLE;
type Mechanism = *mut CK_MECHANISM;
type Template = *mut CK_ATTRIBUTE;
type Any = *mut std::ffi::c_void;

forward! {
    C_Initialize(arguments: Any);
    C_Finalize(reserved: Any);
    C_GetInfo(info: *mut CK_INFO);
    C_GetSlotList(present: CK_BBOOL, list: *mut CK_SLOT_ID, count: Length);
    C_GetSlotInfo(slot: CK_SLOT_ID, info: *mut CK_SLOT_INFO);
    C_GetTokenInfo(slot: CK_SLOT_ID, info: *mut CK_TOKEN_INFO);
    C_GetMechanismInfo(slot: CK_SLOT_ID, kind: CK_MECHANISM_TYPE, info: *mut CK_MECHANISM_INFO);
    C_OpenSession(slot: CK_SLOT_ID, flags: CK_FLAGS, application: Any, notify: CK_NOTIFY, session: *mut Session);
    C_CloseSession(session: Session);
    C_CloseAllSessions(slot: CK_SLOT_ID);
    C_GetSessionInfo(session: Session, info: *mut CK_SESSION_INFO);
    C_Login(session: Session, user: CK_USER_TYPE, pin: Bytes, length: CK_ULONG);
    C_Logout(session: Session);
    C_CreateObject(session: Session, template: Template, count: CK_ULONG, object: *mut Object);
    C_DestroyObject(session: Session, object: Object);
    C_GetAttributeValue(session: Session, object: Object, template: Template, count: CK_ULONG);
    C_FindObjectsInit(session: Session, template: Template, count: CK_ULONG);
    C_FindObjects(session: Session, objects: *mut Object, room: CK_ULONG, count: Length);
    C_FindObjectsFinal(session: Session);
    C_EncryptInit(session: Session, mechanism: Mechanism, key: Object);
    C_Encrypt(session: Session, data: Bytes, length: CK_ULONG, out: Bytes, room: Length);
    C_DecryptInit(session: Session, mechanism: Mechanism, key: Object);
    C_Decrypt(session: Session, data: Bytes, length: CK_ULONG, out: Bytes, room: Length);
    C_VerifyInit(session: Session, mechanism: Mechanism, key: Object);
    C_Verify(session: Session, data: Bytes, length: CK_ULONG, signature: Bytes, size: CK_ULONG);
    C_GenerateKey(session: Session, mechanism: Mechanism, template: Template, count: CK_ULONG, key: *mut Object);
    C_GenerateKeyPair(
        session: Session, mechanism: Mechanism, public: Template, public_count: CK_ULONG, private: Template, private_count: CK_ULONG,
        public_key: *mut Object, private_key: *mut Object
    );
    C_WrapKey(session: Session, mechanism: Mechanism, wrapping: Object, key: Object, out: Bytes, room: Length);
    C_UnwrapKey(
        session: Session, mechanism: Mechanism, unwrapping: Object, wrapped: Bytes, length: CK_ULONG, template: Template,
        count: CK_ULONG, key: *mut Object
    );
    C_DeriveKey(session: Session, mechanism: Mechanism, base: Object, template: Template, count: CK_ULONG, key: *mut Object);
    C_GenerateRandom(session: Session, out: Bytes, length: CK_ULONG);
}
