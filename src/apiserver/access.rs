//! Who may ask: first who it is, then whether they may.

use http::Request;

use crate::cluster::authn::Authenticator;
use crate::cluster::authz::Authorizer;
use crate::model::access::{Attributes, Credentials, Decision};
use crate::serve::Peer;
use crate::wire::status::{Attempt, Status};

/// Who may ask.
#[derive(Debug)]
pub enum Access {
    /// Whom the cluster knows and allows to.
    Cluster(Box<ClusterAccess>),
    /// Everybody: the server is reached through loopback alone.
    Standalone,
}

/// Who may ask in a cluster.
#[derive(Debug)]
pub struct ClusterAccess {
    /// Who it is.
    pub authenticator: Authenticator,
    /// Whether they may.
    pub authorizer: Authorizer,
}

impl Access {
    /// Lets a request pass, or says why not.
    pub async fn check<T>(&self, request: &Request<T>, peer: &Peer) -> Result<(), Status> {
        match self {
            Self::Cluster(access) => access.check(request, peer).await,
            Self::Standalone => Ok(()),
        }
    }
}

impl ClusterAccess {
    async fn check<T>(&self, request: &Request<T>, peer: &Peer) -> Result<(), Status> {
        let uri = request.uri();
        let query = uri.query().unwrap_or_default();
        let attributes = Attributes::of(request.method(), uri.path(), query);
        if self.authorizer.is_open(&attributes) {
            return Ok(());
        }
        let credentials = Credentials {
            certificates: &peer.certificates,
            proven: &peer.proven,
            headers: request.headers(),
        };
        // What was wrong with the credentials is not for those who try them.
        let subject = self.authenticator.authenticate(credentials).await.map_err(|refusal| {
            // The front proxy's connections carry the requests of all users.
            if !refusal.through_front_proxy {
                peer.hang_up();
            }
            Status::unauthorized()
        })?;
        let decision = self.authorizer.authorize(&subject, &attributes).await;
        match decision.map_err(Status::internal)?.as_ref() {
            Decision::Allowed => Ok(()),
            Decision::Denied(reason) => Err(forbidden(&subject.user, &attributes, reason)),
        }
    }
}

fn forbidden(user: &str, attributes: &Attributes, reason: &str) -> Status {
    match attributes {
        Attributes::NonResource { path, verb } => Status::forbidden_path(user, verb, path, reason),
        Attributes::Resource(attributes) => {
            let attempt = Attempt {
                verb: &attributes.verb,
                group: &attributes.group,
                resource: &attributes.resource,
                subresource: &attributes.subresource,
                namespace: &attributes.namespace,
                name: &attributes.name,
            };
            Status::forbidden(user, &attempt, reason)
        }
    }
}
