//! The process that holds a pod's namespaces: it reaps orphans and ends on SIGTERM or SIGINT.
//!
//! No standard library and no libc: a few system calls, a binary of a few kilobytes that runs in an empty image.
//! Every signal is blocked and fetched with `rt_sigtimedwait`: the kernel queues a blocked signal even for the first
//! process of a PID namespace, whose default dispositions it would otherwise ignore.

#![no_std]
#![no_main]

use core::arch::asm;

#[cfg(target_arch = "x86_64")]
mod number {
    pub const RT_SIGPROCMASK: usize = 14;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const WAIT4: usize = 61;
    pub const EXIT_GROUP: usize = 231;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const RT_SIGPROCMASK: usize = 135;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const WAIT4: usize = 260;
    pub const EXIT_GROUP: usize = 94;
}

const SIG_BLOCK: usize = 0;
const SIGINT: isize = 2;
const SIGTERM: isize = 15;
const SIGCHLD: isize = 17;
const WNOHANG: usize = 1;
const SIGNAL_SET_BYTES: usize = 8;

/// A system call of up to four arguments.
///
/// # Safety
/// Pointers among the arguments must be valid for what the call does with them.
#[cfg(target_arch = "x86_64")]
unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// A system call of up to four arguments.
///
/// # Safety
/// Pointers among the arguments must be valid for what the call does with them.
#[cfg(target_arch = "aarch64")]
unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, in("x3") d,
            options(nostack));
    }
    result
}

fn exit(code: usize) -> ! {
    loop {
        // SAFETY: exit_group takes no pointer.
        unsafe { call(number::EXIT_GROUP, code, 0, 0, 0) };
    }
}

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let every_signal: u64 = !0;
    let set = &raw const every_signal as usize;
    // SAFETY: `set` points to eight readable bytes that outlive the call.
    unsafe { call(number::RT_SIGPROCMASK, SIG_BLOCK, set, 0, SIGNAL_SET_BYTES) };
    loop {
        // SAFETY: as above; no information and no timeout are asked for.
        let signal = unsafe { call(number::RT_SIGTIMEDWAIT, set, 0, 0, SIGNAL_SET_BYTES) };
        match signal {
            SIGINT | SIGTERM => exit(0),
            // SAFETY: every pointer is null.
            SIGCHLD => while unsafe { call(number::WAIT4, usize::MAX, 0, WNOHANG, 0) } > 0 {},
            _ => {}
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    exit(1)
}
