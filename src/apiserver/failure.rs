//! From what went wrong in the engine to the `Status` that the HPA controller shows.

use crate::engine::demand::{CustomDemand, Demand, ExternalDemand, Target};
use crate::engine::error::Error;
use crate::engine::ports::Fault;
use crate::promql::rule::QueryError;
use crate::wire::status::Status;

/// The answer to a demand that cannot be met.
pub fn status(error: &Error, demand: &Demand) -> Status {
    match error {
        Error::NoValue(why) | Error::UnknownMetric(why) | Error::UnknownResource(why) => {
            not_found(demand).because(why)
        }
        Error::Backend { cause, .. } => of_backend(&cause.fault, error),
        Error::StillEvaluating(_) => Status::timeout(&error.to_string()),
        Error::Undiscovered(_) => Status::unavailable(error.to_string()),
        Error::NoInventory { .. } | Error::NoPods { .. } | Error::Query(QueryError::Matcher(_)) => {
            Status::bad_request(error.to_string())
        }
        Error::Ambiguous { .. }
        | Error::Twice { .. }
        | Error::BadResult { .. }
        | Error::Inventory(_)
        | Error::Signal { .. }
        | Error::TooLarge { .. }
        | Error::Query(_) => Status::internal(error),
    }
}

fn of_backend(fault: &Fault, error: &Error) -> Status {
    match fault {
        Fault::Deadline(_) | Fault::Incomplete { .. } => Status::timeout(&error.to_string()),
        Fault::Busy { .. } | Fault::Suspended { .. } | Fault::Unreachable(_) => {
            Status::unavailable(error.to_string())
        }
        Fault::NotAsked(_)
        | Fault::Malformed(_)
        | Fault::Unusable(_)
        | Fault::TooLarge(_)
        | Fault::Partial(_)
        | Fault::Refused { .. }
        | Fault::Throttled { .. } => Status::internal(error),
    }
}

fn not_found(demand: &Demand) -> Status {
    match demand {
        Demand::Custom(CustomDemand { resource, metric, target, .. }) => match target {
            Target::Named(name) => Status::metric_not_found_for(metric, resource, name),
            Target::Selected(_) => Status::metric_not_found(metric, resource),
        },
        Demand::External(ExternalDemand { metric, .. }) => {
            Status::external_metric_not_found(metric)
        }
        // The group is not served.
        Demand::Usage(_) => Status::path_not_found(),
    }
}
