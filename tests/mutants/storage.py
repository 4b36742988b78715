"""Faults of `storage`: (name, file, what stands there, what is put in its place, the tests that must see it)."""

MUTANTS = [
    ("a damaged checkpoint is read", "storage/checkpoint.py", "if digest != _digest(text, leaves):", "if False:",
     "storage/test_checkpoint.py"),
    ("compressed entries are unpacked", "storage/checkpoint.py",
     "if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:", "if False:",
     "storage/test_checkpoint.py"),
    ("a file cut short takes the old one's place", "storage/files.py", "        os.replace(partial, path)\n    except",
     "        pass\n    finally:\n        os.replace(partial, path)\n    try:\n        pass\n    except", "storage/test_files.py"),
    ("a file standardised by its own mean", "storage/origin.py", "x = known.standardised(data.x) if known else data.x",
     "x = (data.x - data.x.mean(axis=0)) / data.x.std(axis=0)", "storage/test_origin.py"),
    ("rows taken as they stand beside standardised columns", "storage/origin.py",
     "x = known.standardised(data.x) if known else data.x", "x = data.x", "storage/test_origin.py"),
    ("a population beside standardised columns", "storage/origin.py", "    if standardised:\n", "    if False:\n",
     "storage/test_origin.py"),
    ("columns in another order", "storage/origin.py", "or data.columns == known.columns:",
     "or sorted(data.columns) == sorted(known.columns):", "storage/test_origin.py"),
    ("rows trained on counted once and for ever", "storage/origin.py", "        left[mark] -= 1\n", "", "storage/test_origin.py"),
    ("new patterns said to be trained on", "storage/origin.py", 'or p.space.discrete and _digest(marks) != notes["table"]:',
     "or False:", "storage/test_origin.py"),
    ("rows that are no states of the model", "storage/origin.py", "for i in np.flatnonzero(~space.contains(x))[:1]:",
     "for i in ():", "storage/test_origin.py"),
]
