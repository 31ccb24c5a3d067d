//! The disk as a VFS: the table of functions by which SQLite reaches it.
//!
//! Everything that is decided here is how SQLite's words map to the disk's; what the disk does is in
//! [`crate::medium`], in safe code.
#![allow(unsafe_code, reason = "SQLite takes a VFS as a table of C functions over raw pointers")]

mod open_file;

use crate::disk::Shared;
use crate::medium::{Mode, Refusal};
use open_file::{Handle, OpenFile};
use rusqlite::ffi;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// A VFS that SQLite knows by name until this is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    name: String,
    // Leaked on purpose: a connection may use it for as long as it lives.
    vfs: *mut ffi::sqlite3_vfs,
}

// SAFETY: the pointer is passed to SQLite's own, thread-safe registry, and never followed here.
unsafe impl Send for Registration {}
// SAFETY: as for `Send`; nothing can be changed through a shared reference.
unsafe impl Sync for Registration {}

impl Registration {
    /// Registers a VFS for a disk, under a name that no other has.
    pub(crate) fn new(shared: &Arc<Shared>) -> Registration {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let name = format!("powercut-{}", LAST.fetch_add(1, Ordering::Relaxed) + 1);
        let c_name = CString::new(name.as_str()).unwrap_or_default();
        let vfs = Box::into_raw(Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: c_int::try_from(size_of::<OpenFile>()).unwrap_or(c_int::MAX),
            mxPathname: 1024,
            pNext: ptr::null_mut(),
            zName: c_name.into_raw(),
            pAppData: Box::into_raw(Box::new(Arc::downgrade(shared))).cast(),
            xOpen: Some(open),
            xDelete: Some(delete),
            xAccess: Some(access),
            xFullPathname: Some(full_pathname),
            xDlOpen: None,
            xDlError: None,
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(randomness),
            xSleep: Some(sleep),
            xCurrentTime: Some(current_time),
            xGetLastError: None,
            xCurrentTimeInt64: Some(current_time_int64),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: the table and its name are leaked, so they outlive every use of them.
        let registered = unsafe { ffi::sqlite3_vfs_register(vfs, 0) };
        assert_eq!(registered, ffi::SQLITE_OK, "SQLite takes a VFS unless there is no memory left");
        Registration { name, vfs }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: the table was registered and is never freed.
        unsafe { ffi::sqlite3_vfs_unregister(self.vfs) };
    }
}

/// The disk behind a VFS; none if the test has dropped it.
///
/// # Safety
/// `vfs` is one that [`Registration::new`] made.
unsafe fn disk(vfs: *mut ffi::sqlite3_vfs) -> Option<Arc<Shared>> {
    // SAFETY: by the contract, `pAppData` is the leaked pointer that was put there.
    unsafe { &*(*vfs).pAppData.cast::<Weak<Shared>>() }.upgrade()
}

/// A file's name as SQLite passes it; none for a null pointer.
///
/// # Safety
/// `name` is null or ends with a zero byte.
unsafe fn text(name: *const c_char) -> Option<String> {
    // SAFETY: by the contract.
    (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite passes `szOsFile` bytes, in which it looks for methods even when opening fails, and a name that
    // ends with a zero byte, or none.
    let (disk, name) = unsafe {
        (*file).pMethods = ptr::null();
        (disk(vfs), text(name))
    };
    let Some(disk) = disk else { return ffi::SQLITE_CANTOPEN };
    let mode = Mode {
        create: name.is_none() || flags & ffi::SQLITE_OPEN_CREATE != 0,
        exclusive: flags & ffi::SQLITE_OPEN_EXCLUSIVE != 0,
    };
    let opened = match disk.lock().open(name.as_deref(), mode) {
        Ok(opened) => opened,
        Err(Refusal::Dead) => return ffi::SQLITE_IOERR,
        Err(_) => return ffi::SQLITE_CANTOPEN,
    };
    // SAFETY: there is room for an `OpenFile`, and the flags may be written where they are asked for.
    unsafe {
        OpenFile::place(file, Handle::new(disk, opened, name, flags));
        if !out_flags.is_null() {
            *out_flags = flags;
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: it is our VFS, and the name ends with a zero byte.
    let (Some(disk), Some(name)) = (unsafe { disk(vfs) }, unsafe { text(name) }) else {
        return ffi::SQLITE_IOERR_DELETE;
    };
    match disk.lock().remove(&name, sync_folder != 0) {
        Ok(()) => ffi::SQLITE_OK,
        Err(Refusal::Name) => ffi::SQLITE_IOERR_DELETE_NOENT,
        Err(_) => ffi::SQLITE_IOERR_DELETE,
    }
}

unsafe extern "C" fn access(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, _: c_int, out: *mut c_int) -> c_int {
    // SAFETY: it is our VFS, and the name ends with a zero byte.
    let (Some(disk), Some(name)) = (unsafe { disk(vfs) }, unsafe { text(name) }) else {
        return ffi::SQLITE_IOERR_ACCESS;
    };
    match disk.lock().exists(&name) {
        Ok(exists) => {
            // SAFETY: SQLite waits for the answer there.
            unsafe { *out = c_int::from(exists) };
            ffi::SQLITE_OK
        }
        Err(_) => ffi::SQLITE_IOERR_ACCESS,
    }
}

/// Names mean what they say: the disk has no working directory and no links.
unsafe extern "C" fn full_pathname(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: the name ends with a zero byte.
    let name = unsafe { CStr::from_ptr(name) }.to_bytes_with_nul();
    if name.len() > usize::try_from(room).unwrap_or(0) {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: there is room for it, in memory of SQLite's own.
    unsafe { ptr::copy_nonoverlapping(name.as_ptr().cast(), out, name.len()) };
    ffi::SQLITE_OK
}

/// SQLite's own VFS: time and randomness are not the disk's business.
fn own_vfs() -> *mut ffi::sqlite3_vfs {
    // SAFETY: null asks for the default VFS, which every build for an operating system has.
    unsafe { ffi::sqlite3_vfs_find(ptr::null()) }
}

/// Passes a call on to the function of this name of SQLite's own VFS.
macro_rules! pass_on {
    ($name:ident, $function:ident, $($argument:ident: $kind:ty),+) => {
        unsafe extern "C" fn $name(_: *mut ffi::sqlite3_vfs, $($argument: $kind),+) -> c_int {
            let own = own_vfs();
            // SAFETY: SQLite's own VFS is never freed, and the arguments are what the same function expects.
            unsafe { (*own).$function.map_or(ffi::SQLITE_ERROR, |function| function(own, $($argument),+)) }
        }
    };
}

pass_on!(randomness, xRandomness, bytes: c_int, out: *mut c_char);
pass_on!(sleep, xSleep, microseconds: c_int);
pass_on!(current_time, xCurrentTime, out: *mut f64);
pass_on!(current_time_int64, xCurrentTimeInt64, out: *mut ffi::sqlite3_int64);
