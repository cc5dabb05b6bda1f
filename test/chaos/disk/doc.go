// Package disk gives a test a small disk of its own that can be filled and
// emptied, and stopped and slowed:
//
//	d, err := disk.New(disk.Options{Size: 8 << 20, Kind: disk.Ext4})
//	defer d.Close()
//	st, err := boltstore.Open(filepath.Join(d.Path(), "store.db"), boltstore.Options{})
//	d.Fill(0)
//	d.Slow(50 * time.Millisecond)
//
// A stop is the kernel's own freeze of a file system (FIFREEZE): every write and
// fsync of every process waits until it ends, as on a disk that does not answer,
// and reads of what is cached go on. A slow disk is one that stops again and
// again. Delays in a FUSE file system, by LD_PRELOAD or by device mapper would
// each need more than the machines of tests have; what is not to be had this way
// is a disk that is slow by the byte, or one that loses what was synced.
//
// It takes Linux, root (CAP_SYS_ADMIN), mount, and for Ext4 a free loop device and
// mkfs.ext4; New says which is missing. Nothing is left of a test that was killed:
// a guard ends the stop, unmounts the disk and removes its folder.
package disk
