//! One open file: the functions by which SQLite reads, writes, locks and shares it.

use crate::disk::Shared;
use crate::locks::Level;
use crate::medium::{Medium, Opened, Refusal};
use crate::shared_memory::SLOTS;
use rusqlite::ffi;
use std::ffi::{c_int, c_void};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::{ptr, slice};

/// What SQLite keeps of an open file: its methods first, then what is ours.
#[repr(C)]
pub(super) struct OpenFile {
    base: ffi::sqlite3_file,
    handle: *mut Handle,
}

/// What is ours of an open file.
pub(super) struct Handle {
    disk: Arc<Shared>,
    opened: Opened,
    name: Option<String>,
    is_journal: bool,
    delete_on_close: bool,
}

impl Handle {
    pub(super) fn new(disk: Arc<Shared>, opened: Opened, name: Option<String>, flags: c_int) -> Handle {
        let journals = ffi::SQLITE_OPEN_WAL | ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_SUPER_JOURNAL;
        let is_journal = flags & journals != 0;
        Handle { disk, opened, name, is_journal, delete_on_close: flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0 }
    }
}

impl OpenFile {
    /// Makes an open file where SQLite left room for one.
    ///
    /// # Safety
    /// `file` points to at least as many bytes as an `OpenFile` has.
    pub(super) unsafe fn place(file: *mut ffi::sqlite3_file, handle: Handle) {
        let base = ffi::sqlite3_file { pMethods: &raw const METHODS };
        // SAFETY: by the contract, and SQLite aligns it for any structure.
        unsafe { file.cast::<OpenFile>().write(OpenFile { base, handle: Box::into_raw(Box::new(handle)) }) };
    }
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Our part of an open file.
///
/// # Safety
/// `file` was made by [`OpenFile::place`] and is not closed.
unsafe fn handle<'file>(file: *mut ffi::sqlite3_file) -> &'file Handle {
    // SAFETY: by the contract.
    unsafe { &*(*file.cast::<OpenFile>()).handle }
}

/// Does something on the disk, and says how it went: `failed` is the code for a disk without power.
///
/// # Safety
/// As [`handle`].
unsafe fn on_disk(
    file: *mut ffi::sqlite3_file,
    failed: c_int,
    act: impl FnOnce(&mut Medium, &Handle) -> Result<c_int, Refusal>,
) -> c_int {
    // SAFETY: by the contract.
    let handle = unsafe { handle(file) };
    match act(&mut handle.disk.lock(), handle) {
        Ok(code) => code,
        Err(Refusal::Full) => ffi::SQLITE_FULL,
        Err(Refusal::Dead | Refusal::SyncFailed | Refusal::Name) => failed,
    }
}

/// A size or an offset; SQLite never passes a negative one.
fn unsigned(number: impl TryInto<usize>) -> usize {
    number.try_into().unwrap_or(0)
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes each file that was opened exactly once.
    let handle = unsafe {
        (*file).pMethods = ptr::null();
        Box::from_raw((*file.cast::<OpenFile>()).handle)
    };
    let mut medium = handle.disk.lock();
    medium.close(handle.opened);
    if let Some(name) = handle.name.as_deref().filter(|_| handle.delete_on_close) {
        // As with `unlink` on close: nobody asks how it went.
        let _ = medium.remove(name, false);
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, into: *mut c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite leaves room for `amount` bytes, which nobody else uses meanwhile. They are zeroed first, because
    // a slice may not be made of bytes that were never written.
    let buffer = unsafe {
        ptr::write_bytes(into.cast::<u8>(), 0, unsigned(amount));
        slice::from_raw_parts_mut(into.cast::<u8>(), unsigned(amount))
    };
    // SAFETY: SQLite passes an open file.
    unsafe {
        on_disk(file, ffi::SQLITE_IOERR_READ, |medium, handle| {
            let there = medium.read(handle.opened, unsigned(offset), buffer)?;
            Ok(if there == buffer.len() { ffi::SQLITE_OK } else { ffi::SQLITE_IOERR_SHORT_READ })
        })
    }
}

unsafe extern "C" fn write(file: *mut ffi::sqlite3_file, from: *const c_void, amount: c_int, offset: i64) -> c_int {
    // SAFETY: SQLite passes `amount` bytes.
    let bytes = unsafe { slice::from_raw_parts(from.cast::<u8>(), unsigned(amount)) };
    // SAFETY: SQLite passes an open file.
    unsafe {
        on_disk(file, ffi::SQLITE_IOERR_WRITE, |medium, handle| {
            medium.write(handle.opened, unsigned(offset), bytes).map(|()| ffi::SQLITE_OK)
        })
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    // SAFETY: SQLite passes an open file.
    unsafe {
        on_disk(file, ffi::SQLITE_IOERR_TRUNCATE, |medium, handle| {
            medium.truncate(handle.opened, unsigned(size)).map(|()| ffi::SQLITE_OK)
        })
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    unsafe {
        on_disk(file, ffi::SQLITE_IOERR_FSYNC, |medium, handle| {
            let synced = medium.sync(handle.opened, handle.name.as_deref(), handle.is_journal);
            synced.map(|()| ffi::SQLITE_OK)
        })
    }
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut i64) -> c_int {
    // SAFETY: SQLite passes an open file, and waits for the size at `out`.
    unsafe {
        on_disk(file, ffi::SQLITE_IOERR_FSTAT, |medium, handle| {
            *out = i64::try_from(medium.len(handle.opened)?).unwrap_or(i64::MAX);
            Ok(ffi::SQLITE_OK)
        })
    }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    unsafe {
        on_disk(file, ffi::SQLITE_IOERR_LOCK, |medium, handle| {
            let Some(level) = Level::of(level) else { return Ok(ffi::SQLITE_OK) };
            let locked = medium.live(handle.opened)?.locks.lock(handle.opened.handle, level);
            Ok(locked.map_or(ffi::SQLITE_BUSY, |()| ffi::SQLITE_OK))
        })
    }
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    // SAFETY: SQLite passes an open file.
    unsafe {
        on_disk(file, ffi::SQLITE_IOERR_UNLOCK, |medium, handle| {
            if let Some(file) = medium.any(handle.opened) {
                file.locks.unlock(handle.opened.handle, Level::of(level));
            }
            Ok(ffi::SQLITE_OK)
        })
    }
}

unsafe extern "C" fn check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: SQLite passes an open file, and waits for the answer at `out`.
    unsafe {
        on_disk(file, ffi::SQLITE_IOERR_CHECKRESERVEDLOCK, |medium, handle| {
            *out = c_int::from(medium.live(handle.opened)?.locks.is_reserved());
            Ok(ffi::SQLITE_OK)
        })
    }
}

unsafe extern "C" fn file_control(_: *mut ffi::sqlite3_file, _: c_int, _: *mut c_void) -> c_int {
    ffi::SQLITE_NOTFOUND
}

/// What the `unix` VFS says: SQLite is to do here what it does in production.
unsafe extern "C" fn sector_size(_: *mut ffi::sqlite3_file) -> c_int {
    4096
}

/// What the `unix` VFS says, again: a write that is cut harms nothing beside it. SQLite has a way with devices that
/// promise less, but it survives only one cut: what it pads the log with is not synced as a whole, so the first write
/// after the next start may share a sector with the last commit.
unsafe extern "C" fn device_characteristics(_: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    bytes: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: SQLite passes an open file, and waits for the region's place at `out`. The region is of atomics, so it
    // may be written through a shared reference, and it stays in its place until this file, too, has unmapped.
    unsafe {
        *out = ptr::null_mut();
        on_disk(file, ffi::SQLITE_IOERR_SHMMAP, |medium, handle| {
            let memory = &mut medium.live(handle.opened)?.memory;
            let mapped = memory.map(handle.opened.handle, unsigned(region), unsigned(bytes), extend != 0);
            *out = mapped.map_or(ptr::null_mut(), |mapped| mapped.as_ptr().cast_mut().cast());
            Ok(ffi::SQLITE_OK)
        })
    }
}

unsafe extern "C" fn shm_lock(file: *mut ffi::sqlite3_file, first: c_int, count: c_int, flags: c_int) -> c_int {
    let slots: Range<usize> = unsigned(first)..unsigned(first) + unsigned(count);
    if slots.end > SLOTS {
        return ffi::SQLITE_IOERR_SHMLOCK;
    }
    // SAFETY: SQLite passes an open file.
    unsafe {
        on_disk(file, ffi::SQLITE_IOERR_SHMLOCK, |medium, handle| {
            let me = handle.opened.handle;
            if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
                if let Some(file) = medium.any(handle.opened) {
                    file.memory.unlock(slots, me);
                }
                return Ok(ffi::SQLITE_OK);
            }
            let memory = &mut medium.live(handle.opened)?.memory;
            let locked = match flags & ffi::SQLITE_SHM_EXCLUSIVE {
                0 => memory.lock_shared(slots, me),
                _ => memory.lock_exclusive(slots, me),
            };
            Ok(locked.map_or(ffi::SQLITE_BUSY, |()| ffi::SQLITE_OK))
        })
    }
}

unsafe extern "C" fn shm_barrier(file: *mut ffi::sqlite3_file) {
    // SAFETY: SQLite passes an open file.
    let handle = unsafe { handle(file) };
    fence(Ordering::SeqCst);
    // Taken and given back, as the `unix` VFS does: a barrier between threads of one process.
    drop(handle.disk.lock());
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _: c_int) -> c_int {
    // SAFETY: SQLite passes an open file, and no longer uses what it had mapped.
    unsafe {
        on_disk(file, ffi::SQLITE_IOERR, |medium, handle| {
            if let Some(file) = medium.any(handle.opened) {
                file.memory.unmap(handle.opened.handle);
            }
            Ok(ffi::SQLITE_OK)
        })
    }
}
