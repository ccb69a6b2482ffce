"""File systems of our own: small ones, one that knows no hard links, one that loses power."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager

import pytest


@contextmanager
def mount_small_disk(folder, *, size="2m"):
    """Mount an empty file system in memory on the folder."""
    skip_unless_root()
    folder.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield folder
    finally:
        run("umount", folder)


@contextmanager
def mount_disk_without_links(folder, image):
    """Mount an exFAT file system on the folder."""
    skip_unless_root()
    if not (shutil.which("mkfs.exfat") and shutil.which("mount.exfat-fuse")):
        pytest.skip("exFAT needs Debian's exfatprogs and exfat-fuse")
    folder.mkdir(exist_ok=True)
    with image.open("wb") as file:
        file.truncate(8 << 20)
    run("mkfs.exfat", image)
    device = run("losetup", "--find", "--show", image).strip()
    try:
        try:
            run("mount.exfat-fuse", device, folder)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"FUSE is not available: {error.stderr.strip()}")
        try:
            yield folder
        finally:
            run("umount", folder)
    finally:
        run("losetup", "--detach", device)


@contextmanager
def mount_journaled_disk(folder, image, *, size=64 << 20):
    """Mount an ext4 file system on the folder, which by itself writes nothing for minutes."""
    skip_unless_root()
    with image.open("wb") as file:
        file.truncate(size)
    run("mkfs.ext4", "-q", image)
    with mount_image(folder, image, "commit=300"):
        yield folder


@contextmanager
def mount_image(folder, image, *options):
    """Mount what the image holds on the folder."""
    folder.mkdir(exist_ok=True)
    run("mount", "-o", ",".join(["loop", *options]), image, folder)
    try:
        yield folder
    finally:
        run("umount", folder)


@contextmanager
def crash_host(image, folder):
    """Mount on the folder what a disk, mounted elsewhere, would hold after a crash of the host."""
    copy = folder.with_suffix(".img")
    shutil.copyfile(image, copy)
    with mount_image(folder, copy):
        yield folder


def skip_unless_root():
    if os.geteuid() != 0:
        pytest.skip("only root may mount")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
