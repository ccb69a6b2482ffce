"""File systems of our own: small ones, and one that knows no hard links."""

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


def skip_unless_root():
    if os.geteuid() != 0:
        pytest.skip("only root may mount")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
