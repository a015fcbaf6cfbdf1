"""Evaluates a CloudFormation template for one account and Region, with the functions that our templates use. Other
functions and macros raise an error.
"""

import re
from typing import Any

import yaml

Document = dict[str, Any]
NO_VALUE = object()


class Stack:
    """The resources of one stack by their logical ids, with every function replaced by its value."""

    def __init__(self, template: str, *, account: str, region: str, partition: str = "aws", **parameters: str) -> None:
        self._document = yaml.safe_load(template)
        sections = {"AWSTemplateFormatVersion", "Description", "Parameters", "Conditions", "Resources", "Outputs"}
        assert self._document.keys() <= sections
        given = {name: one["Default"] for name, one in self._document.get("Parameters", {}).items()}
        assert parameters.keys() <= given.keys()
        pseudo = {"AccountId": account, "Region": region, "Partition": partition, "NoValue": NO_VALUE}
        self._values = {**given, **parameters, **{f"AWS::{name}": value for name, value in pseudo.items()}}
        made = [name for name, one in self._document["Resources"].items() if self._made(one)]
        self.resources: dict[str, Document] = {}
        for name in made:
            self.resources[name] = self._value(self._document["Resources"][name]["Properties"])

    def of(self, kind: str) -> list[Document]:
        """The properties of all resources of a type."""
        return [self.resources[name] for name in self.resources if self._document["Resources"][name]["Type"] == kind]

    @property
    def role_arn(self) -> str:
        """The ARN of the only role."""
        (role,) = self.of("AWS::IAM::Role")
        path = role.get("Path", "/")
        return (
            f"arn:{self._values['AWS::Partition']}:iam::{self._values['AWS::AccountId']}:role{path}{role['RoleName']}"
        )

    def _made(self, resource: Document) -> bool:
        return "Condition" not in resource or self._condition(resource["Condition"])

    def _condition(self, name: str) -> bool:
        return bool(self._value(self._document["Conditions"][name]))

    def _value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [value for value in map(self._value, node) if value is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((function, argument),) = node.items()
            if function.startswith("Fn::"):
                return self._function(function, argument)
            if function == "Ref":
                return self._values[argument]
            if function == "Condition" and isinstance(argument, str):
                return self._condition(argument)
        found = {key: self._value(value) for key, value in node.items()}
        return {key: value for key, value in found.items() if value is not NO_VALUE}

    def _function(self, function: str, argument: Any) -> Any:
        match function:
            case "Fn::Equals":
                first, second = self._value(argument)
                return first == second
            case "Fn::And" | "Fn::Or":
                assert 2 <= len(argument) <= 10, f"{function} takes two to ten conditions"
                return (all if function == "Fn::And" else any)(self._value(argument))
            case "Fn::If":
                name, yes, no = argument
                return self._value(yes if self._condition(name) else no)
            case "Fn::Sub":
                put = re.sub(r"\$\{([^!}]+)\}", lambda found: self._values[found[1]], argument)
                return put.replace("${!", "${")
            case "Fn::GetAtt":
                assert argument == ["Role", "Arn"]
                assert self._made(self._document["Resources"]["Role"]), "the role is of another stack"
                return self.role_arn
        raise AssertionError(f"{function} is no function of these templates")
