//! What went wrong with the API server, in words for the people who can help.

use std::error::Error;
use std::io;

use kube::core::Status;
use kube::runtime::watcher;
use tower::timeout::error::Elapsed;

use super::client::RESPOND;
use crate::model::object::GroupResource;

/// Why a list or watch of a resource failed. A refusal says what the account needs.
pub(super) fn watch(error: &watcher::Error, resource: &GroupResource) -> String {
    let (text, code) = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => (client(error), code(error)),
        watcher::Error::WatchError(answer) => (status(answer), Some(answer.code)),
        watcher::Error::NoResourceVersion => {
            ("the API server gave no resourceVersion".to_owned(), None)
        }
    };
    match code {
        Some(401 | 403) => {
            format!("{text}; the account needs the verbs list and watch on {resource}")
        }
        _ => text,
    }
}

/// Whether a watch can go on only after a new list, which is nothing unusual.
pub(super) fn expired(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchError(status) => status.code == 410,
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => code(error) == Some(410),
        watcher::Error::NoResourceVersion => false,
    }
}

/// Whether the account may not do it.
pub(super) fn is_denied(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchError(status) => status.code == 403,
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => code(error) == Some(403),
        watcher::Error::NoResourceVersion => false,
    }
}

/// Why a request failed.
pub(super) fn client(error: &kube::Error) -> String {
    if let kube::Error::Api(answer) = error {
        return status(answer);
    }
    let mut cause: &(dyn Error + 'static) = error;
    loop {
        if cause.is::<Elapsed>() {
            return format!("the API server did not answer within {RESPOND:?}");
        }
        let Some(next) = cause.source() else { break };
        cause = next;
    }
    match error {
        kube::Error::Service(_) | kube::Error::HyperError(_) => {
            format!("the API server cannot be reached: {cause}")
        }
        kube::Error::SerdeError(_) => format!("the API server's answer cannot be read: {cause}"),
        _ => format!("the request to the API server failed: {cause}"),
    }
}

/// Whether the API server hung up, which may be no more than its restart.
pub(super) fn is_reset(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
            return matches!(
                error.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
            );
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_incomplete_message() || error.is_canceled() || error.is_closed())
        {
            return true;
        }
        cause = error.source();
    }
    false
}

fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}

fn status(status: &Status) -> String {
    let Status { code, message, reason, .. } = status;
    let message = if message.is_empty() { reason } else { message };
    format!("the API server answered {code}: {message}")
}
