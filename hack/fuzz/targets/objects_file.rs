//! Files of objects: every kind that has objects can be found by its name.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use plimsoll::cluster::file;

fuzz_target!(|bytes: &[u8]| {
    let Ok(contents) = file::parse(Path::new("objects.yaml"), bytes) else {
        return;
    };
    for kind in contents.objects.keys() {
        assert!(contents.kinds.resolve(kind).is_some(), "{kind}");
    }
});
