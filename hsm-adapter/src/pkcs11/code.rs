//! What a return value of the token is about: one table, for no code means the same on two modules.

use cryptoki::error::RvError;

/// Who is concerned by a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// The input of this call; the slot is fine.
    Input,
    /// The token cannot do this at all.
    Capability,
    /// The session: another one will do.
    Session,
    /// The object: its handle is no longer good.
    Key,
    /// Perhaps the slot, perhaps the input: only a canary tells.
    Slot,
    /// The log-in. Never tried again: a real HSM locks for good.
    Login,
}

/// The scope of a return value.
pub(super) fn scope(code: RvError) -> Scope {
    use RvError as Rv;
    match code {
        Rv::ActionProhibited
        | Rv::ArgumentsBad
        | Rv::AttributeReadOnly
        | Rv::AttributeSensitive
        | Rv::AttributeTypeInvalid
        | Rv::AttributeValueInvalid
        | Rv::DataInvalid
        | Rv::DataLenRange
        | Rv::DomainParamsInvalid
        | Rv::EncryptedDataInvalid
        | Rv::EncryptedDataLenRange
        | Rv::KeyFunctionNotPermitted
        | Rv::KeyNotWrappable
        | Rv::KeySizeRange
        | Rv::KeyTypeInconsistent
        | Rv::KeyUnextractable
        | Rv::MechanismParamInvalid
        | Rv::SignatureInvalid
        | Rv::SignatureLenRange
        | Rv::TemplateIncomplete
        | Rv::TemplateInconsistent
        | Rv::UnwrappingKeySizeRange
        | Rv::UnwrappingKeyTypeInconsistent
        | Rv::WrappedKeyInvalid
        | Rv::WrappedKeyLenRange
        | Rv::WrappingKeySizeRange
        | Rv::WrappingKeyTypeInconsistent => Scope::Input,

        Rv::CurveNotSupported
        | Rv::FunctionNotSupported
        | Rv::MechanismInvalid
        | Rv::SessionReadOnly
        | Rv::TokenWriteProtected => Scope::Capability,

        Rv::BufferTooSmall
        | Rv::OperationActive
        | Rv::OperationNotInitialized
        | Rv::SessionClosed
        | Rv::SessionCount
        | Rv::SessionHandleInvalid
        | Rv::UserNotLoggedIn => Scope::Session,

        // NSS answers HOST_MEMORY for a key whose log-in is gone.
        Rv::HostMemory
        | Rv::KeyHandleInvalid
        | Rv::ObjectHandleInvalid
        | Rv::UnwrappingKeyHandleInvalid
        | Rv::WrappingKeyHandleInvalid => Scope::Key,

        Rv::PinExpired
        | Rv::PinIncorrect
        | Rv::PinInvalid
        | Rv::PinLenRange
        | Rv::PinLocked
        | Rv::UserPinNotInitialized
        | Rv::UserTypeInvalid => Scope::Login,

        // DEVICE_ERROR, DEVICE_REMOVED, DEVICE_MEMORY, TOKEN_NOT_PRESENT, GENERAL_ERROR, FUNCTION_FAILED,
        // CRYPTOKI_NOT_INITIALIZED, SLOT_ID_INVALID, a vendor's own, and whatever the next version brings.
        _ => Scope::Slot,
    }
}
