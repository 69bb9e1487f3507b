from app.kit.errors import Conflict


class LabelExists(Conflict):
    code, title = "label_exists", "This workspace has a label of this name; upper and lower case count as the same"
