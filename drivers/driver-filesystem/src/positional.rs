//! Reading and writing all of a range, whatever pieces the kernel does it in.

use std::io::IoSlice;

use driver_kit::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fd::AsFd;
use rustix::io::{self, Errno, pread, pwritev};

/// The kernel takes no more pieces at once.
const PIECES_MAX: usize = 1024;

/// Writes the pieces one after another from `offset` on.
pub(crate) fn write_all(file: impl AsFd, mut offset: u64, pieces: &[Bytes]) -> io::Result<()> {
    for some in pieces.chunks(PIECES_MAX) {
        let mut slices: Vec<IoSlice<'_>> = some.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = slices.as_mut_slice();
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            let written = write_some(&file, left, offset)?;
            IoSlice::advance_slices(&mut left, written);
            offset += written as u64;
        }
    }
    Ok(())
}

fn write_some(file: impl AsFd, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
    match io::retry_on_intr(|| pwritev(&file, slices, offset))? {
        0 => Err(Errno::IO),
        written => Ok(written),
    }
}

/// Reads `length` bytes from `offset` on, or as many as there are.
pub(crate) fn read_up_to(file: impl AsFd, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::with_capacity(length);
    while content.len() < length {
        let at = offset + content.len() as u64;
        if io::retry_on_intr(|| pread(&file, spare_capacity(&mut content), at))? == 0 {
            break;
        }
    }
    content.truncate(length);
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_every_piece() {
        let file = tempfile::tempfile().unwrap();
        let pieces: Vec<Bytes> = (0..3000_u32).map(|n| Bytes::from(vec![n as u8; (n % 3) as usize])).collect();
        write_all(&file, 5, &pieces).unwrap();
        let whole = pieces.concat();
        assert_eq!(read_up_to(&file, 5, whole.len()).unwrap(), whole);
        assert_eq!(read_up_to(&file, 5 + whole.len() as u64 - 2, 10).unwrap(), whole[whole.len() - 2..]);
    }
}
