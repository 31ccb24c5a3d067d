//! What tests hold: the disk, its power, and what goes wrong with it.

use crate::medium::{Cut, Keep, Medium, Moment, Syncs};
use crate::vfs::Registration;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A disk in memory, which SQLite reaches as the VFS [`Disk::vfs_name`]. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct Disk {
    shared: Arc<Shared>,
    registration: Arc<Registration>,
}

/// What the disk and everything that is open on it have in common.
#[derive(Debug)]
pub(crate) struct Shared(Mutex<Medium>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Medium> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk {
    /// An empty disk. The seed decides what is found after a cut.
    pub fn new(seed: u64) -> Disk {
        let shared = Arc::new(Shared(Mutex::new(Medium::new(seed))));
        let registration = Arc::new(Registration::new(&shared));
        Disk { shared, registration }
    }

    /// The name that SQLite knows it by.
    pub fn vfs_name(&self) -> &str {
        self.registration.name()
    }

    /// Cuts the power, now. Whatever is open is dead for good; nothing can be opened until [`Disk::power_on`].
    pub fn power_cut(&self, keep: Keep) {
        self.shared.lock().cut(keep);
    }

    /// Plans a cut within the `number`th sync from now, 1 being the next one. Whoever asked for that sync is told
    /// that it failed, at whatever moment of it the cut was.
    pub fn cut_at_sync(&self, number: u64, moment: Moment, keep: Keep) {
        self.shared.lock().plan.cut_at_sync(number, Cut { moment, keep });
    }

    /// Plans a cut right before the `number`th step from now, 1 being the next one: any write, truncation, removal or
    /// sync.
    pub fn cut_at_step(&self, number: u64, keep: Keep) {
        self.shared.lock().plan.cut_at_step(number, keep);
    }

    /// Forgets cuts that were planned and did not come.
    pub fn cancel_cuts(&self) {
        self.shared.lock().plan.forget();
    }

    /// Switches the power on again.
    pub fn power_on(&self) {
        self.shared.lock().power_on();
    }

    /// False from a cut until the power is switched on again.
    pub fn is_on(&self) -> bool {
        self.shared.lock().is_on()
    }

    /// Syncs so far.
    pub fn syncs(&self) -> u64 {
        self.shared.lock().plan.syncs()
    }

    /// Steps so far: writes, truncations, removals and syncs.
    pub fn steps(&self) -> u64 {
        self.shared.lock().plan.steps()
    }

    /// Bytes in all files together.
    pub fn used(&self) -> usize {
        self.shared.lock().used()
    }

    /// Lets no file grow once all of them together have this many bytes.
    pub fn fill_at(&self, bytes: usize) {
        self.shared.lock().capacity = Some(bytes);
    }

    /// Lets files grow without bound again.
    pub fn make_room(&self) {
        self.shared.lock().capacity = None;
    }

    /// Makes every sync fail from now on.
    pub fn fail_syncs(&self) {
        self.shared.lock().syncs = Syncs::Failing;
    }

    /// Makes every sync succeed without doing anything from now on: the fault that no software survives, planted to
    /// see that a test would notice.
    pub fn ignore_syncs(&self) {
        self.shared.lock().syncs = Syncs::Ignored;
    }

    /// Makes syncs do what they are for again.
    pub fn honour_syncs(&self) {
        self.shared.lock().syncs = Syncs::Honoured;
    }
}
