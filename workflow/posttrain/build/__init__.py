"""What every stage has around its work: key, store, lease, work folder, manifest, link."""
