# SPDX-License-Identifier: Apache-2.0
"""Says for each document of documents.tsv whether policy/schema.json takes it, one digit each."""
import glob
import json
import re
import sys

try:
    import jsonschema
    Validator = jsonschema.Draft202012Validator
except (ImportError, AttributeError):
    print("skip")
    sys.exit(0)

with open("policy/schema.json", encoding="utf-8") as f:
    schema = json.load(f)
Validator.check_schema(schema)
validator = Validator(schema)
with open("tests/unit/policy/documents.tsv", encoding="utf-8") as f:
    for line in f:
        if not line.startswith("#"):
            doc = json.loads(line.split("\t", 1)[1])
            print(1 if validator.is_valid(doc) else 0)
# The schema names the attributes that operations have, no more and no fewer.
listed = set(schema["$defs"]["when"]["properties"]["attr"]["propertyNames"]["enum"])
with open("include/op_attrs.h", encoding="utf-8") as f:
    rows = re.findall(r'\{ "([a-z_]+)", OP_ATTR_[A-Z]+, ([A-Z_| ]+),', f.read())
known = {name for name, places in rows if places.strip() != "OP_ON_RESULT"}
if listed != known:
    print(f"attributes differ: {sorted(listed ^ known)}")
    sys.exit(1)
for name in sorted(glob.glob("policy/*.json")):
    if name == "policy/schema.json":
        continue
    with open(name, encoding="utf-8") as f:
        validator.validate(json.load(f))
print("done")
